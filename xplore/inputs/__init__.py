"""What an input is and how it is stored: encodings, media, tables and their rules; imports `_util`."""

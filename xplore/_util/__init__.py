"""What any package may use, and what knows nothing of models or campaigns; imports nothing else of xplore."""

"""Errors, files, statistics, pytrees: what any package may use; imports nothing of xplore."""

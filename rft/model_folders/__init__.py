"""Folders with models: looked over, known by content, tried, and loaded; they are foreign."""

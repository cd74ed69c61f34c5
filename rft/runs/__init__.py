"""The run folder: its stages, tables, models and lock, and how it stays whole."""

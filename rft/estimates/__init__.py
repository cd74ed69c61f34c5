"""What a run will take, before it is spent, and what a model takes of memory and disk."""

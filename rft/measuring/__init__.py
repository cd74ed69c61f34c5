"""What a model can do: Pass@k with its intervals, pass rates, answers cut at the limit."""

"""Where problems come from, which of them a round takes, and rows that we did not write."""

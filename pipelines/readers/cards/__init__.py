"""The dataset and model cards of an export: what a page says, of rounds and of online training."""

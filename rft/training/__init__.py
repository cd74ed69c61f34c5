"""What fine-tuning and online training share, and the trainer of the latter."""

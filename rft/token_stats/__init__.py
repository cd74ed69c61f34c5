"""Entropy, branching and log-probability of tokens: exact, estimated, or by a forward pass."""

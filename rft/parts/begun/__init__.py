"""What `rft new` begins a part with: a file that works for each kind, and its test."""

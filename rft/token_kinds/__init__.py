"""What kind of word a token belongs to, and where in its answer it stands."""

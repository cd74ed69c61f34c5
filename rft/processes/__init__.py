"""Children that we start, watch and stop, what they get and tell, and being stopped ourselves."""

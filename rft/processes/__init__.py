"""Children that we start, watch and stop, and being stopped ourselves."""

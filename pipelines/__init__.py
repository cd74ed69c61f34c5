"""The stages, one module each, and the story that walks them; readers/ tell of a run afterwards."""

"""The stages, one module each, and the story that walks them; readers/ tells of a run afterwards."""

"""Arms of a recipe, or runs, side by side: what is measured, and how sure the differences are."""

"""Parts: code of one's own, from a file or a package, as rows of the tables that ours are in."""

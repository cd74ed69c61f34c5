"""Which answer a completion gives, and whether it is right."""

"""Which kept samples are trained on, and why each of the others is not: tables in, tables out."""

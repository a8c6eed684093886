"""Charts of the pages: one module each, data in, markup out."""

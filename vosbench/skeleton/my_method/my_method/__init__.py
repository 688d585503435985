"""A method for vosbench."""

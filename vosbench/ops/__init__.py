"""Pure functions on tensors: matching, warping, clustering, colour, aggregation."""

"""Frozen features: labels are carried by the similarity of features that were learned elsewhere."""

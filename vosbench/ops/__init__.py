"""Matching, reading, alignment and clustering for methods: pure functions of tensors.

Attention to references: `affinity` is local (a square window of cells in every reference); `matching` is global in some
references and local in the others; `offset` shifts each query's window by a fraction of cells; `tokens` is global over
an object's memory. The first two share the geometry of `windows`.
"""

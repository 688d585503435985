"""The inspection of a data set by `vosbench check`: problems to fix, and notes for information."""

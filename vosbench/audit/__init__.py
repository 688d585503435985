"""The inspections of `vosbench check`: a data set, with problems to fix and notes for information; or a method."""

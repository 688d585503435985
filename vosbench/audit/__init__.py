"""What `vosbench check` and `vosbench doctor` look for: in a data set, with problems to fix and notes for information; in
a method; and in the installation."""

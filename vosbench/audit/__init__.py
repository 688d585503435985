"""What `vosbench check` finds in a data set: problems to mend and notes to know."""

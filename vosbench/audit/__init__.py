"""What `vosbench check` looks for in a data set (problems to fix, and notes for information) or in a method, and what
`vosbench doctor` looks for in the installation."""

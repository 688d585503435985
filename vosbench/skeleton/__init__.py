"""What `vosbench new method=<name>` writes: the folder `my_method`, under another name."""

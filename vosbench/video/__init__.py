"""Videos as the rest of vosbench sees them, made from image files or video files; reading and writing images."""

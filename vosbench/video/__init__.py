"""A video as the rest of vosbench sees it, from image files or from a video file; reading and writing images."""

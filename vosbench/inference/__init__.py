"""From frames to label maps: the loop over a video, what memory keeps, and the folder that results go to."""

"""From frames to label maps: the loop over a video, memories, resizing, and folders of predictions."""

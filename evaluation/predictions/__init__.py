"""Reading predicted label maps: a folder of PNGs, or COCO RLE in a JSON file."""

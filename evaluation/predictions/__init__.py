"""Predicted label maps as they come: a folder of PNGs, or COCO RLE in a JSON file."""

"""A step graph as a picture."""

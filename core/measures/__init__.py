"""A Segmentation becomes numbers, and findings about how far they can be trusted."""

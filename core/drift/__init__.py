"""Whether the scans that come in still look like those that the model knows."""

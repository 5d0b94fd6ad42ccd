"""A model version: its folder, the registry of all, which one serves."""

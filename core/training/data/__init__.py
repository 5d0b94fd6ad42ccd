"""Data sets: scans with labels, checked, split and kept."""

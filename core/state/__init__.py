"""Where things are kept: database and storage."""

"""The hospital's image archive: searched, read from and sent to."""

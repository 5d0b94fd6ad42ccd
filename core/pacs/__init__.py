"""The hospital's image archive: searched, read from, sent to; what it and scanners send here."""

"""The hospital's image archive: asked, read from and sent to; what it and scanners send here."""

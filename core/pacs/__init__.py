"""The hospital's image archive: asked, read from and sent to by DICOMweb."""

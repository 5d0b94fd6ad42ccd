"""A DICOM series becomes one clean NIfTI file, or is refused for a stated reason."""

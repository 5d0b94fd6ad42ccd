"""The pages: widgets and calls, one file each."""

"""Bytes from outside become a Volume, and a mask goes back to the file's grid."""

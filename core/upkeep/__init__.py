"""The installation as a whole: backed up, restored, and looked over for what is wrong."""

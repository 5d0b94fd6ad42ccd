"""A candidate beside the version in service, on the same scans: compared, never delivered."""

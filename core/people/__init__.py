"""Who may do what, and who does it: accounts, roles, groups, sessions, tokens, tries."""

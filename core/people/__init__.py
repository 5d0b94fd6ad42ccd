"""Who may do what: the administrator's password, sessions, tries."""

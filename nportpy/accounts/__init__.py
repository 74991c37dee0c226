"""Who may use console and API: accounts, roles and rights, sessions, tokens, and how often one may guess a password."""

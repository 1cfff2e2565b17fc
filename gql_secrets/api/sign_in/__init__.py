"""How people sign in: one-time links, sessions and their cookie."""

"""How people sign in: one-time links and sessions."""

"""What surrounds every request: its id and log line, the caller's address, origin, CORS and security headers."""

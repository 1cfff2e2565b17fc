"""What a rollover is, by the standard library alone."""

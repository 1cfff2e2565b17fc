"""What acts: one call is one transaction is one audit event."""

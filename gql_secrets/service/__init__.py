"""The operations: each change is one transaction with one audit event."""

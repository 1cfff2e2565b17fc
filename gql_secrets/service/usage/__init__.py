"""Counting the uses of secrets, and reading the counts."""

"""Tortoise's built-in migrations of the database."""

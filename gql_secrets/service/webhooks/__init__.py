"""Webhooks: their management, and the node that delivers events to them."""

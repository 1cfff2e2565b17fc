"""The command line against a remote server, over GraphQL."""

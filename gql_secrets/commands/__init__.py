"""The commands of `gql-secrets`: one module per command or group of commands.

`context.py`, `output.py` and `first_start.py` are what they share: the installation and the caller, the two output
streams, and the text of the first start.
"""

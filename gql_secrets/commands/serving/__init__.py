"""The parts of `gql-secrets serve`: one process that serves, and the supervisor of several."""

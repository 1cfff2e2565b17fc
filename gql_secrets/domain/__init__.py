"""The rules of a rollover; standard library only."""

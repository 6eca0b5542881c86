"""Parse, call one use case, answer."""

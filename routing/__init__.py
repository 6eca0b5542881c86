"""The decision: who is responsible for a place, a category and an instant. No IO, no clock, no settings."""

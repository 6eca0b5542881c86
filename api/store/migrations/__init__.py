"""The history of the section of the cases."""

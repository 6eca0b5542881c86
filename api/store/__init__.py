"""The tables of the cases: rows in, values out."""

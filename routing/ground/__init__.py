"""Geometry, and only here: claims -> faces -> cells -> what holds at a point; and the proof of it."""

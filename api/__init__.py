"""The faces: command line, HTTP, consoles."""

"""What the product does, one file a verb: gather, decide, apply. No web, no command line."""

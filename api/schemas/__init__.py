"""What goes over the wire, and nothing else: the shapes of requests and answers."""

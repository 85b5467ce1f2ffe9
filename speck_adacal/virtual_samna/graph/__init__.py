"""Event filter graphs: nodes, the threads that run them, and the built-in filters."""

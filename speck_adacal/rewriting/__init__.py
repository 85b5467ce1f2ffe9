"""What a traced network is rewritten to before it is adapted, so that a chip can compute it."""

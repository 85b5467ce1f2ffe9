"""The verbs, thin compositions of parts; `speck_adacal` itself exports them."""

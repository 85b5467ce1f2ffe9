"""What adaptation found: settings, thresholds and potentials per layer, and its files."""

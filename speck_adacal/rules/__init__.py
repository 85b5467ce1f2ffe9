"""The chip's design rules: limits, violations, what competes, the smallest change that fits."""

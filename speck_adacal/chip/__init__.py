"""The chip: folding, quantisation, design rules, mapping, simulation of a deployment, its files."""

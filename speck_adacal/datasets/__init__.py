"""Data sets by name: cards, mirrors, downloads, and loaders."""

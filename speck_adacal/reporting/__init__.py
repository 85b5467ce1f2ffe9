"""What people look at: tables (rich), figures (matplotlib) and the one-page HTML report."""

"""Tags and features for a user's own photos."""

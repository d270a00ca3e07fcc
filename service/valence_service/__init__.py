"""The Valence sentiment service."""

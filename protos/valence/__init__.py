"""The Valence contract, by version."""

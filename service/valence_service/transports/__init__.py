"""Protocols that carry the service, and what they share: authentication and certificates."""

"""What a transport raises before it serves."""

from __future__ import annotations


class CannotListen(Exception):
    """The address cannot be listened on; the message says why and what to do."""

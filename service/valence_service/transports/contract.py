"""The names of the contract, from its descriptor."""

from __future__ import annotations

from valence.v1 import sentiment_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["SentimentService"]
SERVICE_NAME = _SERVICE.full_name
METHODS = tuple(method.name for method in _SERVICE.methods)

"""Reads what an error carries, as any caller could."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status


class Told:
    """A google.rpc.Status, unpacked."""

    def __init__(self, status: Status) -> None:
        self.code = status.code
        self.message = status.message
        self.info = details.ErrorInfo()
        self.retry = details.RetryInfo()
        bad = details.BadRequest()
        for detail in status.details:
            for into in (self.info, self.retry, bad):
                detail.Unpack(into)
        self.reason = self.info.reason
        self.fields = [violation.field for violation in bad.field_violations]
        self.descriptions = [violation.description for violation in bad.field_violations]


def told(error: grpc.aio.AioRpcError) -> Told:
    """What a failed call says, the code on the wire and in the details being one."""
    trailers = dict(error.trailing_metadata() or ())
    said = Told(Status.FromString(trailers["grpc-status-details-bin"]))
    assert (said.code, said.message) == (error.code().value[0], error.details())
    assert said.info.domain == "valence"
    return said

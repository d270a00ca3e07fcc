"""Makes the calls of a file and says what came back: conformance.py ADDRESS FILE.

Each line of FILE names a method and holds a request as JSON; each line printed is its outcome.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as _details  # noqa: F401  so that JSON knows them
from google.rpc import status_pb2
from grpc_status import rpc_status
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

DEADLINE_SECONDS = 60


def responses(
    stub: sentiment_pb2_grpc.SentimentServiceStub, method: str, request: dict[str, Any]
) -> list[Message]:
    """Return the answer of a call: for a stream of one request, all of its responses."""
    match method:
        case "Classify":
            classify = json_format.ParseDict(request, pb.ClassifyRequest())
            return [stub.Classify(classify, timeout=DEADLINE_SECONDS)]
        case "BatchClassify":
            batch = json_format.ParseDict(request, pb.BatchClassifyRequest())
            return [stub.BatchClassify(batch, timeout=DEADLINE_SECONDS)]
        case "StreamClassify":
            stream = json_format.ParseDict(request, pb.StreamClassifyRequest())
            return list(stub.StreamClassify(iter([stream]), timeout=DEADLINE_SECONDS))
    raise ValueError(method)


def main(address: str, path: str) -> None:
    """One call after the other, an outcome for each."""
    with grpc.insecure_channel(address) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            call = json.loads(line)
            answers: list[Message] = []
            code, status = 0, status_pb2.Status()
            try:
                answers = responses(stub, call["method"], call["request"])
            except grpc.RpcError as error:
                failed = cast("grpc.Call", error)  # as every error of a call is
                code = failed.code().value[0]
                status = rpc_status.from_call(failed) or status_pb2.Status(
                    code=code, message=failed.details()
                )
            print(
                json.dumps(
                    {
                        "code": code,
                        "responses": [json_format.MessageToDict(answer) for answer in answers],
                        "status": json_format.MessageToDict(status),
                    }
                )
            )


if __name__ == "__main__":
    main(*sys.argv[1:])

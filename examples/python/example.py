"""Calls Valence with stubs made from its proto, and nothing else of Valence's.

python example.py [ADDRESS [DEADLINE_SECONDS]]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import cast

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

REVIEWS = {
    "a": "A quiet room, a soft bed and a view of the sea.",
    "b": "The lift was broken and so was the promise to mend it.",
    "c": "We will be back next year.",
}
DOCUMENT = "The room was lovely 😍 Breakfast was cold, and nobody cared."


def main(address: str = "127.0.0.1:50051", deadline_seconds: str = "10") -> None:
    """One call of each kind, each with a deadline."""
    timeout = float(deadline_seconds)
    with grpc.insecure_channel(address) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)

        one = stub.Classify(pb.ClassifyRequest(text="I loved every minute of it"), timeout=timeout)
        print(f"unary: {one.sentiment.label} {one.sentiment.score:.2f}")

        texts = ["Lovely place.", "", "The food was cold and nobody cared."]
        batch = stub.BatchClassify(pb.BatchClassifyRequest(texts=texts), timeout=timeout)
        for result in batch.results:
            print(f"batch: {outcome(result)}")

        # Requests are taken from the iterator as the stream has room for them, in a thread of
        # grpcio's, while this one reads.
        for response in stub.StreamClassify(requests(), timeout=timeout):
            print(f"stream {response.id}: {outcome(response)}")

        whole = stub.ClassifyDocument(pb.ClassifyDocumentRequest(text=DOCUMENT), timeout=timeout)
        print(f"document: {whole.document.label} {whole.document.score:.2f}")
        for sentence in whole.sentences:  # a str counts code points, as the offsets do by default
            text = DOCUMENT[sentence.begin : sentence.end]
            print(f"sentence: {sentence.sentiment.label} {sentence.sentiment.score:.2f}: {text}")

        try:
            stub.Classify(pb.ClassifyRequest(text=""), timeout=timeout)
        except grpc.RpcError as error:
            print(f"refused: {explain(status_of(error))}")


def requests() -> Iterator[pb.StreamClassifyRequest]:
    """Yield the requests of the stream, each with an id that its answer carries."""
    for name, text in REVIEWS.items():
        yield pb.StreamClassifyRequest(id=name, text=text)


def outcome(result: pb.BatchClassifyResult | pb.StreamClassifyResponse) -> str:
    """Each text of a batch or a stream has its own answer or its own error."""
    if result.WhichOneof("result") == "error":
        return explain(result.error)
    return f"{result.sentiment.label} {result.sentiment.score:.2f}"


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    """Return the status with its details. It has none if the server was not reached."""
    call = cast("grpc.Call", error)  # as every error of a call is
    return rpc_status.from_call(call) or status_pb2.Status(
        code=call.code().value[0], message=call.details()
    )


def explain(status: status_pb2.Status) -> str:
    """Return what went wrong, which field is to blame, and when to try again."""
    lines = [f"{code_pb2.Code.Name(status.code)}: {status.message}"]
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            lines.append(f"reason: {info.reason}")
        elif detail.Unpack(bad):
            lines += [f"field: {item.field} {item.description}" for item in bad.field_violations]
        elif detail.Unpack(retry):
            delay_seconds = retry.retry_delay.ToTimedelta().total_seconds()
            lines.append(f"retry after: {delay_seconds:.2f} s")
    return "\n  ".join(lines)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except grpc.RpcError as error:
        sys.exit(explain(status_of(error)))

"""A caller with the proto and the stubs it made of it, and none of our code.

Run by an interpreter that has grpcio and protobuf alone: caller.py STUBS ADDRESS. Prints JSON.
"""

import json
import sys

import grpc

stubs, address = sys.argv[1:]
sys.path.insert(0, stubs)

from valence.v1 import sentiment_pb2 as pb  # noqa: E402  # the stubs are where we were told
from valence.v1 import sentiment_pb2_grpc  # noqa: E402  # as above

assert pb.__file__.startswith(stubs)
texts = ["I loved every minute of it", "what a waste of time", "not bad at all"]
with grpc.insecure_channel(address) as channel:
    stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
    unary = [stub.Classify(pb.ClassifyRequest(text=text)).sentiment for text in texts]
    batch = stub.BatchClassify(pb.BatchClassifyRequest(texts=texts)).results
    stream = stub.StreamClassify(
        pb.StreamClassifyRequest(id=str(number), text=text) for number, text in enumerate(texts)
    )
    json.dump(
        {
            "unary": [[s.label, s.score] for s in unary],
            "batch": [[r.sentiment.label, r.sentiment.score] for r in batch],
            "stream": [[r.sentiment.label, r.sentiment.score] for r in stream],
            "modules": sorted(name for name in sys.modules if name.startswith("valence")),
        },
        sys.stdout,
    )

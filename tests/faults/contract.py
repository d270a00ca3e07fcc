"""The rules of the contract's manual, sentiment.proto, for the small model under small limits."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from valence.v1 import sentiment_pb2 as pb

from tests.support.errors import Told

MAX_TEXT_BYTES, MAX_BATCH_TEXTS, MAX_ID_BYTES, MAX_TOKENS = 300, 8, 256, 64


def is_bad(text: str) -> bool:
    invisible = all(
        unicodedata.category(c)[0] in "ZM" or unicodedata.category(c) in ("Cc", "Cf") for c in text
    )
    return invisible or len(text.encode()) > MAX_TEXT_BYTES


def check_sentiment(sentiment: pb.Sentiment, *, whole: bool = False) -> None:
    """Of a text that was truncated if it was too long, or read whole."""
    scores = [score.score for score in sentiment.scores]
    assert scores == sorted(scores, reverse=True)
    assert math.isclose(sum(scores), 1, abs_tol=1e-6)
    assert (sentiment.label, sentiment.score) == (sentiment.scores[0].label, scores[0])
    by_label = {score.label: score.score for score in sentiment.scores}
    assert set(by_label) == {"NEGATIVE", "POSITIVE"}
    assert sentiment.HasField("valence")
    assert -1 <= sentiment.valence <= 1
    assert math.isclose(
        sentiment.valence, by_label["POSITIVE"] - by_label["NEGATIVE"], abs_tol=1e-6
    )
    assert sentiment.polarity == pb.Polarity.Value(f"POLARITY_{sentiment.label}")
    most = sentiment.tokens_total if whole else MAX_TOKENS
    assert sentiment.tokens_used == min(sentiment.tokens_total, most)
    assert sentiment.truncated == (sentiment.tokens_used < sentiment.tokens_total)
    assert sentiment.model.name == "tiny"
    assert len(sentiment.model.revision) == 12


def check_invalid(status: Status, field: str) -> None:
    said = Told(status)
    assert (said.code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "INVALID_FIELD")
    assert said.fields == [field]


def check_result(
    result: pb.BatchClassifyResult | pb.StreamClassifyResponse,
    text: str,
    field: str,
    *,
    rejects_long: bool,
    whole: bool = False,
) -> None:
    """Of one text: exactly one of sentiment and error, and the right one."""
    if result.WhichOneof("result") == "sentiment":
        assert not is_bad(text)
        check_sentiment(result.sentiment, whole=whole)
        assert not (rejects_long and result.sentiment.truncated)
    else:
        assert result.WhichOneof("result") == "error"
        check_invalid(result.error, field)
        tokens = any("tokens" in text for text in Told(result.error).descriptions)
        assert tokens != is_bad(text)
        assert rejects_long or not tokens


def check_refused(error: grpc.RpcError, field: str) -> None:
    call: Any = error  # as every error of a call is
    trailers = dict(call.trailing_metadata())
    check_invalid(Status.FromString(trailers["grpc-status-details-bin"]), field)

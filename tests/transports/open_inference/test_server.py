"""A server with the flag: the contract's answers, its metrics and traces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from valence.v1 import sentiment_pb2 as pb
from valence_service.transports.open_inference import open_inference_pb2 as oip

from tests.interop.texts import TEXTS
from tests.support.server import launched
from tests.support.stubs import async_stub
from tests.telemetry.receiver import Spans, attributes, receiving
from tests.telemetry.scrape import scrape, scrape_when
from tests.transports.open_inference.conftest import SERVICE_NAME, infer_request, method, tensors

# test_beside.py has the lighter forms.
pytestmark = pytest.mark.full


@dataclass(frozen=True)
class Observed:
    """A server, and what it tells of its calls."""

    address: str
    metrics: str
    spans: Spans


@pytest.fixture(scope="module")
def observed(two_labels: str) -> Iterator[Observed]:
    arguments = ("--model", two_labels, "--precision", "f32", "--open-inference")
    with receiving() as spans:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with launched(*arguments, "--metrics-port", "0", env=env) as server:
            said = server.event("SERVING")
            yield Observed(said["address"], said["metrics"], spans)


def contract_tensors(results: Any, labels: list[str]) -> dict[str, list[Any]]:
    """What a BatchClassifyResponse says, as the tensors should."""
    sentiments = [result.sentiment for result in results]
    by_label = [{s.label: s.score for s in sentiment.scores} for sentiment in sentiments]
    return {
        "label": [sentiment.label.encode() for sentiment in sentiments],
        "score": [sentiment.score for sentiment in sentiments],
        "valence": [sentiment.valence for sentiment in sentiments],
        "scores": [scores[label] for scores in by_label for label in labels],
    }


async def test_answers_are_those_of_batch_classify(observed: Observed) -> None:
    async with grpc.aio.insecure_channel(observed.address) as channel:
        stub, infer = async_stub(channel), method(channel, "ModelInfer")
        model = (await stub.GetModel(pb.GetModelRequest())).model
        labels = [label.name for label in model.labels]
        # Alone, then in a batch, whose order of additions differs.
        for texts, tolerance in [*(([text], 1e-6) for text in TEXTS), (TEXTS, 1e-4)]:
            batch = await stub.BatchClassify(pb.BatchClassifyRequest(texts=texts))
            response = await infer(infer_request(texts, model_name=model.name))
            found = {name: values for name, (_, values) in tensors(response).items()}
            expected = contract_tensors(batch.results, labels)
            assert found.pop("label") == expected.pop("label")
            assert found.keys() == expected.keys()
            for name, values in found.items():
                assert values == pytest.approx(expected[name], abs=tolerance), name
    assert len(labels) == 2


async def test_metrics_have_the_methods_by_name(observed: Observed) -> None:
    name = "valence_requests_total"
    before = scrape(observed.metrics)
    durations = before.families["valence_request_duration_seconds"].samples
    # From the start, as the contract's.
    assert {"ServerLive", "ModelInfer", "RepositoryIndex", "Classify"} <= {
        sample.labels["method"] for sample in durations
    }
    async with grpc.aio.insecure_channel(observed.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await method(channel, "ModelInfer")(infer_request(["good"], model_name="other"))
    labels = {"method": "ModelInfer", "code": "NOT_FOUND"}
    expected = before.value(name, **labels) + 1
    scrape_when(observed.metrics, lambda told: told.value(name, **labels) == expected)


async def test_traces_name_the_service(observed: Observed) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    async with grpc.aio.insecure_channel(observed.address) as channel:
        index = await method(channel, "RepositoryIndex")(oip.RepositoryIndexRequest())
        await method(channel, "ModelInfer")(
            infer_request(["good", "bad"], model_name=index.models[0].name),
            metadata=[("traceparent", f"00-{trace_id}-b7ad6b7169203331-01")],
        )
    spans = observed.spans.when(lambda arrived: len(arrived) == 3, trace_id)
    (call,) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert call.name == f"{SERVICE_NAME}/ModelInfer"
    assert attributes(call)["rpc.service"] == SERVICE_NAME
    assert attributes(call)["valence.texts"] == 2

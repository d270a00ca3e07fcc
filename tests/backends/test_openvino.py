"""The latency form, and how few shapes the model sees."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs
from valence_service.backends import compiled as engine
from valence_service.backends.cache import prepare_artifact
from valence_service.backends.compiled import CompiledForm, LatencyForm, StageRequest, compile_model
from valence_service.backends.source import find_model

from tests.support import models
from tests.support.alike import WITHIN
from tests.support.loading import load
from tests.support.server import environment

INPUTS = {"input_ids": np.array([[2, 5, 6, 3]]), "attention_mask": np.ones((1, 4), np.int64)}


def test_both_forms_compute_the_same(two_labels: str, tmp_path: Path) -> None:
    artifact = prepare_artifact(
        find_model(two_labels, None, allow_pickle=False), "f32", tmp_path, check_tokens=None
    )
    throughput = compile_model(artifact, "f32", streams=2, threads=2)
    expected, _ = throughput.request().infer(0, INPUTS)
    latency = LatencyForm(functools.partial(compile_model, artifact, "f32", streams=1, threads=2))
    latency.compiling.join()
    with latency.computing():
        request = latency.request()
        assert request is not None
        assert request.infer(0, INPUTS)[0] == pytest.approx(expected, abs=WITHIN)
        with latency.computing():  # another replica
            assert latency.request() is None
        assert latency.request() is request


def test_a_text_has_the_same_score_alone_and_among_others() -> None:
    classifier: Any = load(None, engine="openvino", precision="int8", replicas=2)
    classifier._latency.compiling.join()
    alone = [classifier.classify([text])[0] for text in models.TEXTS]
    for one, among in zip(alone, classifier.classify(models.TEXTS), strict=True):
        # A last digit of a float32 may round to another int8, which changes more than its own.
        assert one.scores[0].score == pytest.approx(among.scores[0].score, abs=1e-3)


def test_openvino_knows_the_setting_of_attention(two_labels: str, tmp_path: Path) -> None:
    artifact = prepare_artifact(
        find_model(two_labels, None, allow_pickle=False), "f32", tmp_path, check_tokens=None
    )
    with capture_logs() as logged:
        compile_model(artifact, "f32", streams=1, threads=1)
    assert not logged


def test_an_openvino_that_does_not_know_it_computes_all_the_same(
    two_labels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = prepare_artifact(
        find_model(two_labels, None, allow_pickle=False), "f32", tmp_path, check_tokens=None
    )
    expected, _ = compile_model(artifact, "f32", streams=1, threads=1).request().infer(0, INPUTS)
    monkeypatch.setattr(engine, "PLAIN_ATTENTION", {"NO_SUCH_SETTING": "DISABLE"})
    with capture_logs() as logged:
        compiled = compile_model(artifact, "f32", streams=1, threads=1)
    assert [entry["event"] for entry in logged] == ["openvino_settings"]
    assert compiled.request().infer(0, INPUTS)[0] == pytest.approx(expected, abs=WITHIN)


def test_without_a_latency_form_the_throughput_form_computes() -> None:
    def fails() -> CompiledForm:
        raise RuntimeError("no memory")

    with capture_logs() as logged:
        latency = LatencyForm(fails)
        latency.compiling.join()
    with latency.computing():
        assert latency.request() is None
    assert [entry["event"] for entry in logged] == ["latency_form"]


FIRST_LOOKUPS_AT_ONCE = """
import sys, threading
import openvino
from valence_service.backends import compiled as engine
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(4)
def ask():
    barrier.wait()
    openvino.Type.i64.to_dtype()
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_the_first_lookups_of_two_replicas_do_not_deadlock() -> None:
    subprocess.run([sys.executable, "-c", FIRST_LOOKUPS_AT_ONCE], check=True, timeout=60)


def test_the_model_sees_few_shapes(two_labels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = set()

    def spy(request: Any, stage: int, inputs: dict[str, np.ndarray]) -> Any:
        shapes.add(inputs["input_ids"].shape)
        return infer(request, stage, inputs)

    infer = StageRequest.infer
    monkeypatch.setattr(StageRequest, "infer", spy)
    classifier = load(two_labels, engine="openvino")
    shapes.clear()  # those of the self-check
    for count in range(1, 34):
        classifier.classify([models.TEXTS[0] + " good" * (n % 20) for n in range(count)])
    assert len(shapes) <= 8 * 3
    assert {tokens for _, tokens in shapes} <= {16, 24, 32, 48}


# How much memory (kB) two spans of lengths take, each of lengths that are new to the model.
SPANS = """
import json, sys
from pathlib import Path
import numpy as np
from valence_service.backends.cache import prepare_artifact
from valence_service.backends.compiled import compile_model
from valence_service.backends.source import find_model
folder = find_model(sys.argv[1], None, allow_pickle=False)
artifact = prepare_artifact(folder, "f32", Path(sys.argv[2]), check_tokens=None)
request = compile_model(artifact, "f32", streams=1, threads=1).request()
def memory():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])
def grown(lengths):
    before = memory()
    for length in lengths:
        ids = np.full((1, length), 5)
        request.infer(0, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return memory() - before
grown([64])
first, _, last = grown(range(1, 21)), grown(range(21, 43)), grown(range(43, 63))
print(json.dumps([first, last]))
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_model_that_cannot_pad_keeps_few_kernels(tmp_path: Path) -> None:
    folder = models.make_unpaddable_model(tmp_path / "gpt2")
    prepare_artifact(
        find_model(folder, None, allow_pickle=False), "f32", tmp_path / "cache", check_tokens=None
    )
    done = subprocess.run(
        [sys.executable, "-c", SPANS, folder, str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        # oneDNN keeps kernels of its own, as many whatever the model.
        env=environment({"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0"}),
        check=True,
    )
    first, last = json.loads(done.stdout)

    # kB. Without the bound a span takes some 25,000 with AVX2. With SSE4.1, whose kernels are not
    # compiled for each shape, none takes more than a few thousand.
    assert last < max(first / 2, 10_000)

"""The lone caller's form, and how few shapes the model sees."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from structlog.testing import capture_logs
from valence_service.backends import openvino as engine
from valence_service.backends.artifact import prepare
from valence_service.backends.openvino import LatencyForm, compile_model
from valence_service.backends.source import find_model

from tests.support import models
from tests.support.alike import WITHIN
from tests.support.loading import load

INPUTS = {"input_ids": np.array([[2, 5, 6, 3]]), "attention_mask": np.ones((1, 4), np.int64)}


def test_the_lone_form_computes_what_the_crowds_does(two_labels: str, tmp_path: Path) -> None:
    prepared = prepare(find_model(two_labels, None, allow_pickle=False), "f32", tmp_path)
    crowd = compile_model(prepared, "f32", streams=2, threads=2)
    expected = crowd.create_infer_request().infer(INPUTS)[0]
    lone = LatencyForm(functools.partial(compile_model, prepared, "f32", streams=1, threads=2))
    lone.compiling.join()
    with lone.computing():
        assert lone.infer(INPUTS) == pytest.approx(expected, abs=WITHIN)
        with lone.computing():  # another worker
            assert lone.infer(INPUTS) is None
        assert lone.infer(INPUTS) == pytest.approx(expected, abs=WITHIN)


def test_a_text_has_the_same_score_alone_and_among_others() -> None:
    classifier: Any = load(None, engine="openvino", precision="int8", workers=2)
    classifier._lone.compiling.join()
    alone = [classifier.classify([text])[0] for text in models.TEXTS]
    for one, among in zip(alone, classifier.classify(models.TEXTS), strict=True):
        # A last digit of a float32 may round to another int8, which changes more than its own.
        assert one.scores[0].score == pytest.approx(among.scores[0].score, abs=1e-3)


def test_openvino_knows_the_setting_of_attention(two_labels: str, tmp_path: Path) -> None:
    prepared = prepare(find_model(two_labels, None, allow_pickle=False), "f32", tmp_path)
    with capture_logs() as logged:
        compile_model(prepared, "f32", streams=1, threads=1)
    assert not logged


def test_an_openvino_that_does_not_know_it_computes_all_the_same(
    two_labels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(find_model(two_labels, None, allow_pickle=False), "f32", tmp_path)
    expected = compile_model(prepared, "f32", streams=1, threads=1)(INPUTS)[0]
    monkeypatch.setattr(engine, "PLAIN_ATTENTION", {"NO_SUCH_SETTING": "DISABLE"})
    with capture_logs() as logged:
        compiled = compile_model(prepared, "f32", streams=1, threads=1)
    assert [entry["event"] for entry in logged] == ["attention"]
    assert compiled(INPUTS)[0] == pytest.approx(expected, abs=WITHIN)


def test_a_lone_form_that_does_not_compile_is_done_without() -> None:
    def fails() -> openvino.CompiledModel:
        raise RuntimeError("no memory")

    with capture_logs() as logged:
        lone = LatencyForm(fails)
        lone.compiling.join()
    assert lone.infer(INPUTS) is None
    assert [entry["event"] for entry in logged] == ["lone_form"]


FIRST_PASSES_AT_ONCE = """
import sys, threading
import openvino
from valence_service.backends import openvino as engine
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(4)
def ask():
    barrier.wait()
    openvino.Type.i64.to_dtype()
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_the_first_passes_of_two_workers_do_not_deadlock() -> None:
    subprocess.run([sys.executable, "-c", FIRST_PASSES_AT_ONCE], check=True, timeout=60)


def test_the_model_sees_few_shapes(two_labels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = set()

    def spy(request: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
        shapes.add(inputs["input_ids"].shape)
        return run(request, inputs)

    run = engine._run
    monkeypatch.setattr(engine, "_run", spy)
    classifier = load(two_labels, engine="openvino")
    for count in range(1, 34):
        classifier.classify([models.TEXTS[0] + " good" * (n % 20) for n in range(count)])
    assert len(shapes) <= 8 * 3
    assert {tokens for _, tokens in shapes} <= {16, 24, 32, 48}

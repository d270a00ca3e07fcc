"""A model can be dropped, and a replica of it replaced."""

from __future__ import annotations

import functools
import gc
import json
import shutil
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import openvino
import pytest
from openvino import opset13 as op
from valence_service.backends import compiled as engine
from valence_service.backends.source import ModelUnusable

from tests.support import models
from tests.support.loading import load_replicas, model_source
from tests.support.server import environment


def test_a_dropped_compiled_model_goes_away(
    two_labels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[weakref.ref[engine.CompiledForm]] = []

    @functools.wraps(engine.compile_model)
    def compile_model(*arguments: Any, **options: Any) -> engine.CompiledForm:
        form = real(*arguments, **options)
        compiled.append(weakref.ref(form))
        return form

    real = engine.compile_model
    monkeypatch.setattr(engine, "compile_model", compile_model)
    loaded = load_replicas(model_source(two_labels, engine="openvino"), 2)
    replacement = loaded.new_classifier()
    classifiers: list[Any] = [*loaded.classifiers, replacement]
    for classifier in classifiers:
        classifier.classify(["good"])
    latency = classifiers[0]._latency
    latency.compiling.join()
    parts = [weakref.ref(part) for part in [*classifiers, latency, classifiers[0]._artifact.model]]

    del loaded, replacement, classifiers, classifier, latency
    gc.collect()

    assert len(compiled) == 3
    assert [part() for part in [*compiled, *parts] if part() is not None] == []
    assert "compile-latency-form" not in [thread.name for thread in threading.enumerate()]


def test_a_dropped_pipeline_goes_away(two_labels: str) -> None:
    loaded = load_replicas(model_source(two_labels), 2)
    classifiers: list[Any] = [*loaded.classifiers, loaded.new_classifier()]
    for classifier in classifiers:
        classifier.classify(["good"])
    parts = [
        weakref.ref(part)
        for classifier in classifiers
        for part in (classifier.pipeline, classifier.pipeline.model, classifier.pipeline.tokenizer)
    ]

    del loaded, classifiers, classifier
    gc.collect()

    assert [part() for part in parts if part() is not None] == []


@pytest.mark.parametrize("name", ["pipeline", "openvino"])
def test_a_new_replica_answers_as_the_others(two_labels: str, name: str) -> None:
    loaded = load_replicas(model_source(two_labels, engine=name), 2)
    replacement = loaded.new_classifier()
    assert replacement.info == loaded.info
    assert replacement.tokens is not loaded.classifiers[0].tokens
    expected = loaded.classifiers[0].classify(models.TEXTS)
    for sentiment, other in zip(replacement.classify(models.TEXTS), expected, strict=True):
        assert sentiment.tokens_used == other.tokens_used
        assert {s.label: s.score for s in sentiment.scores} == pytest.approx(
            {s.label: s.score for s in other.scores}, abs=1e-3
        )


def test_a_new_replica_never_computes_other_weights(two_labels: str, tmp_path: Path) -> None:
    folder = shutil.copytree(two_labels, tmp_path / "model")
    loaded = load_replicas(model_source(str(folder)), 1)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelUnusable, match="have changed since the start: restart"):
        loaded.new_classifier()


def make_hanging_model(folder: Path) -> str:
    """Make a compiled form that loops two to the power of its highest token id."""
    folder.mkdir()
    models.make_tokenizer(folder)
    labels = {"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "pad_token_id": 0}
    (folder / "config.json").write_text(json.dumps(labels))
    tokens = op.parameter([-1, -1], openvino.Type.i64, name="input_ids")
    tokens.output(0).tensor.set_names({"input_ids"})
    highest = op.convert(op.reduce_max(tokens, [0, 1], keep_dims=False), "f32")
    rounds = op.convert(op.power(op.constant(2.0, openvino.Type.f32), highest), "i64")
    score = op.parameter([-1, 1], openvino.Type.f32)
    true = op.constant(True)
    loop = op.loop(rounds, true)
    loop.set_function(openvino.Model([op.tanh(score), true], [score]))
    loop.set_special_body_ports([-1, 1])
    first = op.convert(op.reduce_mean(op.convert(tokens, "f32"), [1], keep_dims=True), "f32")
    result = loop.get_function().get_results()[0]
    loop.set_merged_input(
        loop.get_function().get_parameters()[0], first.output(0), result.output(0)
    )
    last = loop.get_iter_value(result.output(0), -1)
    logits = op.concat([last, op.negative(last)], 1)
    openvino.save_model(openvino.Model([logits], [tokens]), folder / "openvino_model.xml")
    return str(folder)


# "the" loops 32 times and "o" a billion times. Two texts: one alone would hang the latency form.
HANGING = """
import os, sys, threading, time
from pathlib import Path
from tests.support.loading import load_replicas, model_source
source = model_source(sys.argv[1], engine="openvino", cache_dir=Path(), self_check=False)
loaded = load_replicas(source, 2)
for classifier in loaded.classifiers:
    threading.Thread(target=classifier.classify, args=(["o", "o"],), daemon=True).start()
    while not classifier.tokens.texts:
        time.sleep(0.01)
replacements = [loaded.new_classifier(), loaded.new_classifier()]
print([len(classifier.classify(["the"])) for classifier in replacements], flush=True)
os._exit(0)
"""


def test_replicas_that_hang_in_openvino_can_be_replaced(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING, make_hanging_model(tmp_path / "model")],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=100,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["[1, 1]"], done.stderr

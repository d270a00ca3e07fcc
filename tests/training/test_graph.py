"""What is quantized computes what transformers does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification

from training.graph import build, left_as_it_is

LENGTHS = (12, 5, 1, 9)


def test_the_graph_gives_the_models_logits_whatever_the_padding(two_labels: str) -> None:
    reference = AutoModelForSequenceClassification.from_pretrained(two_labels).eval()
    config = reference.config
    graph = build(
        load_file(Path(two_labels) / "model.safetensors"),
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
    )
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ids = np.random.default_rng(7).integers(0, config.vocab_size, (len(LENGTHS), max(LENGTHS)))
    mask = np.array([[place < length for place in range(max(LENGTHS))] for length in LENGTHS], int)
    with torch.inference_mode():
        expected = reference(torch.from_numpy(ids), torch.from_numpy(mask)).logits
    logits = compiled({"input_ids": ids, "attention_mask": mask})[0]
    assert logits == pytest.approx(expected.numpy(), abs=1e-4)


def test_what_is_not_quantized_is_in_the_graph(two_labels: str) -> None:
    graph = build(load_file(Path(two_labels) / "model.safetensors"), heads=2, epsilon=1e-12)
    names = [node.get_friendly_name() for node in graph.get_ops()]
    for left in ("attention_scores", "attention_context", "bert.pooler.dense", "classifier"):
        assert [name for name in names if name.endswith(left) and left_as_it_is(name)]
    assert not left_as_it_is("bert.encoder.layer.0.intermediate.dense")

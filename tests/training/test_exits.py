"""A folder with exits: transformers' pipeline is its full depth, and early answers its heads'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from tests.training.conftest import SHORT_TEXTS
from training.exits import WithExits, load, save
from training.forms import compiled_form, graph_of, probabilities

TEMPERATURES = [0.5, 2.0]


@torch.inference_mode()
def in_torch(model: WithExits, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Return logits [depths, texts, labels], each text computed alone."""
    answers = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        answers.append(torch.stack(model(ids, torch.ones_like(ids))))
    return torch.cat(answers, dim=1).numpy()


@pytest.fixture
def folder(answering: tuple[WithExits, Tokenizer], three_labels: Path, tmp_path: Path) -> Path:
    model, tokenizer = answering
    settings = three_labels / "tokenizer_config.json"
    save(
        model, tokenizer, settings=settings, out=tmp_path, temperatures=TEMPERATURES, confidence=0.8
    )
    return tmp_path


def test_a_saved_model_gives_cooled_logits_at_each_depth(
    answering: tuple[WithExits, Tokenizer], folder: Path
) -> None:
    cooled = in_torch(*answering, SHORT_TEXTS) / np.array(TEMPERATURES)[:, None, None]
    assert in_torch(*load(folder), SHORT_TEXTS) == pytest.approx(cooled, abs=0.05)
    assert json.loads((folder / "config.json").read_text())["exits"] == {
        "layers": [1],
        "confidence": 0.8,
    }


def test_everyone_may_read_the_folder(folder: Path) -> None:
    for name in ("model.safetensors", "exits.safetensors"):
        assert (folder / name).stat().st_mode & 0o777 == 0o644


def test_the_pipeline_is_the_full_depth(folder: Path) -> None:
    pipeline = transformers.pipeline("text-classification", model=str(folder), top_k=None)
    said = probabilities(in_torch(*load(folder), SHORT_TEXTS))[-1]
    for text, expected in zip(SHORT_TEXTS, said, strict=True):
        (scores,) = pipeline([text])
        scored = {each["label"]: each["score"] for each in scores}
        assert [scored[label] for label in ("NEGATIVE", "NEUTRAL", "POSITIVE")] == pytest.approx(
            expected.tolist(), abs=1e-4
        )


def test_the_graph_answers_at_each_depth_the_full_one_first(folder: Path) -> None:
    model, tokenizer = load(folder)
    graph = graph_of(model)
    assert [output.get_any_name() for output in graph.outputs] == ["logits", "logits_1"]
    expected = in_torch(model, tokenizer, SHORT_TEXTS)
    assert compiled_form(graph, tokenizer)(SHORT_TEXTS) == pytest.approx(expected, abs=1e-3)


def test_an_exit_reads_the_words_and_not_the_padding(
    answering: tuple[WithExits, Tokenizer],
) -> None:
    model, tokenizer = answering
    encoded = [torch.tensor(tokenizer.encode(text).ids) for text in ("good", "not very bad .")]
    ids = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in encoded], True)
    with torch.inference_mode():
        padded, _ = model(ids, mask)
        alone, _ = model(ids[:1, : len(encoded[0])], mask[:1, : len(encoded[0])])
    assert padded[0].tolist() == pytest.approx(alone[0].tolist(), abs=1e-5)

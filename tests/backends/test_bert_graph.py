"""The graphs that the service builds compute what transformers does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder
from valence_service.backends.bert_build import build_artifact, can_build
from valence_service.backends.bert_config import ACTIVATIONS, encoder_of
from valence_service.backends.bert_family import CannotBuild, mpnet_buckets
from valence_service.backends.bert_graph import build, left_as_it_is
from valence_service.backends.source import find_model
from valence_service.backends.weights import read_safetensors

from tests.support.alike import WITHIN
from tests.support.architectures import make_architecture

POSITIONS = 40
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"pad_token_id": 1, "layer_norm_eps": 1e-5},
    "xlm-roberta": {"pad_token_id": 1, "type_vocab_size": 1},
    "camembert": {"pad_token_id": 1},
    "electra": {"embedding_size": 16},
    "distilbert": {},
    "mpnet": {"pad_token_id": 1},
}


def made(kind: str, folder: Path, **own: Any) -> Path:
    settings = {"max_position_embeddings": POSITIONS, **FAMILIES.get(kind, {}), **own}
    return Path(make_architecture(kind, folder, max_tokens=POSITIONS, **settings))


def miss(folder: Path) -> float:
    """Return how far the built graph is from transformers at most, on batches of many lengths."""
    artifact = build_artifact(find_model(str(folder), None, allow_pickle=False))
    compiled = openvino.Core().compile_model(
        artifact.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    reference = AutoModelForSequenceClassification.from_pretrained(folder).float().eval()
    most = artifact.input_spec.max_tokens
    apart, seen = 0.0, []
    for lengths in ((12, 5, 1, 9), (1,), (most, 3, most - 1)):
        ids, mask = inputs(lengths, pad_id=artifact.input_spec.pad_id or 0)
        with torch.inference_mode():
            expected = reference(torch.from_numpy(ids), torch.from_numpy(mask)).logits.numpy()
        seen.extend(expected)
        given = compiled({"input_ids": ids, "attention_mask": mask})[0]
        apart = max(apart, float(np.abs(given - expected).max()))
    assert np.std(seen, axis=0).min() > 0.1, "the model says the same of everything"
    return apart


def inputs(lengths: Sequence[int], *, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(lengths), max(lengths))
    mask = np.array([[place < length for place in range(shape[1])] for length in lengths], int)
    ids = np.random.default_rng(7).integers(5, 60, shape)
    return np.where(mask, ids, pad_id), mask


# These are RoBERTa under another name.
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.full] * (kind in ("xlm-roberta", "camembert")))
        for kind in FAMILIES
    ],
)
def test_a_built_graph_gives_transformers_logits_whatever_the_padding(
    kind: str, tmp_path: Path
) -> None:
    assert miss(made(kind, tmp_path / kind)) < WITHIN


@pytest.mark.parametrize(
    "activation",
    [
        pytest.param(name, marks=[pytest.mark.full] * (name not in ("gelu_new", "relu")))
        for name in ACTIVATIONS
    ],
)
def test_each_activation_is_computed(activation: str, tmp_path: Path) -> None:
    assert miss(made("bert", tmp_path / "model", hidden_act=activation)) < WITHIN


def test_a_padding_token_within_a_text_has_no_position(tmp_path: Path) -> None:
    folder = made("roberta", tmp_path / "model")
    artifact = build_artifact(find_model(str(folder), None, allow_pickle=False))
    reference = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = np.array([[5, 1, 7, 8]])
    mask = np.ones_like(ids)
    with torch.inference_mode():
        expected = reference(torch.from_numpy(ids), torch.from_numpy(mask)).logits.numpy()
    given = openvino.Core().compile_model(artifact.model, "CPU")([ids, mask])[0]
    assert given == pytest.approx(expected, abs=WITHIN)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_computed_in_full(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = made("bert", tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value.to(dtype) for name, value in weights.items()}, folder / "model.safetensors"
    )
    assert miss(folder) < WITHIN


def test_weights_may_lie_in_several_files(tmp_path: Path) -> None:
    folder = made("distilbert", tmp_path / "model")
    AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(
        tmp_path / "parts", max_shard_size="20KB"
    )
    for file in (*folder.glob("tokenizer*"), folder / "config.json"):
        shutil.copy(file, tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
    assert miss(tmp_path / "parts") < WITHIN


def test_distances_lie_in_the_buckets_of_mpnet() -> None:
    distances = np.arange(-600, 601)
    expected = MPNetEncoder.relative_position_bucket(torch.from_numpy(distances))
    assert mpnet_buckets(distances).tolist() == expected.tolist()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("bert", tmp_path_factory.mktemp("models") / "bert")


def changed(folder: Path, into: Path, name: str, entries: dict[str, Any]) -> Path:
    shutil.copytree(folder, into)
    content = json.loads((into / name).read_text())
    (into / name).write_text(json.dumps(content | entries))
    return into


@pytest.mark.parametrize(
    ("entries", "because"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads is"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config is"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_act": "quick_gelu"}, "the activation is 'quick_gelu'"),
        ({"architectures": ["BertForTokenClassification"]}, "architectures is"),
        ({"model_type": "albert"}, "model_type albert is not of the BERT family"),
        ({"num_attention_heads": 5}, "5 heads or 40 positions do not fit it"),
        ({"hidden_size": 64}, r"has shape \(\d+, 32\), not \(\d+, 64\)"),
        ({"num_hidden_layers": 3}, r"its weights lack bert\.encoder\.layer\.2"),
        ({"num_hidden_layers": 1}, r"its weights have bert\.encoder\.layer\.1.*not known"),
    ],
)
def test_what_is_not_known_is_not_built(
    bert: Path, tmp_path: Path, entries: dict[str, Any], because: str
) -> None:
    folder = find_model(
        str(changed(bert, tmp_path / "model", "config.json", entries)), None, allow_pickle=False
    )
    with pytest.raises(CannotBuild, match=because):
        build_artifact(folder)
    assert not can_build(folder)


def test_a_distilbert_with_names_of_bert_is_not_built(tmp_path: Path) -> None:
    folder = changed(
        made("distilbert", tmp_path / "model"),
        tmp_path / "other",
        "config.json",
        {"hidden_size": 32},
    )
    with pytest.raises(CannotBuild, match="hidden_size should be dim"):
        build_artifact(find_model(str(folder), None, allow_pickle=False))


def test_an_mpnet_that_pads_by_another_token_is_not_built(tmp_path: Path) -> None:
    folder = made("mpnet", tmp_path / "model", pad_token_id=0)
    with pytest.raises(CannotBuild, match="pad_token_id is 0"):
        build_artifact(find_model(str(folder), None, allow_pickle=False))


def test_a_tokenizer_that_transformers_would_change_is_not_taken(
    bert: Path, tmp_path: Path
) -> None:
    entries = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    folder = changed(bert, tmp_path / "model", "tokenizer_config.json", entries)
    with pytest.raises(CannotBuild, match=r"tokenizer_config\.json differ in do_lower_case"):
        build_artifact(find_model(str(folder), None, allow_pickle=False))


def test_an_added_token_that_the_tokenizer_lacks_is_not_left_out(
    bert: Path, tmp_path: Path
) -> None:
    entries = {"added_tokens_decoder": {"70": {"content": "<smile>"}}}
    folder = changed(bert, tmp_path / "model", "tokenizer_config.json", entries)
    with pytest.raises(CannotBuild, match="lacks the added token"):
        build_artifact(find_model(str(folder), None, allow_pickle=False))


def test_what_is_not_quantized_is_in_the_graph(two_labels: str) -> None:
    config = json.loads((Path(two_labels) / "config.json").read_text())
    weights = read_safetensors([Path(two_labels) / "model.safetensors"])
    graph = build(encoder_of(config, labels=2), weights)
    names = [node.get_friendly_name() for node in graph.get_ops()]
    for left in ("attention_scores", "attention_context", "bert.pooler.dense", "classifier"):
        assert [name for name in names if name.endswith(left) and left_as_it_is(name)]
    assert not left_as_it_is("bert.encoder.layer.0.intermediate.dense")

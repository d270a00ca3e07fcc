"""A text leaves at the first exit that is sure, whatever its company."""

from __future__ import annotations

import functools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from safetensors.numpy import load_file, save_file
from structlog.testing import capture_logs
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from valence_service.backends import cache, selection
from valence_service.backends import load as load_module
from valence_service.backends.bert_build import build_artifact
from valence_service.backends.compiled import StageRequest
from valence_service.backends.load import ModelUnusable
from valence_service.backends.openvino import HALF_MARGIN, MARGINS
from valence_service.backends.source import find_model
from valence_service.core.classifier import Classifier

from tests.support.alike import WITHIN
from tests.support.exits import EXITS, LAYERS, make_model_with_exits, set_exits
from tests.support.loading import load_replicas, model_source
from tests.support.models import WORDS

_RNG = random.Random(3)  # noqa: S311  # no secret
# Some texts reach it at each exit, and some at none.
CONFIDENCE = 0.9
TEXTS = [" ".join(_RNG.choices(WORDS, k=_RNG.randint(1, 40))) for _ in range(60)]


def load(name: str, confidence: float | None, *, replicas: int = 1, **own: Any) -> Classifier:
    source = model_source(
        name, **{"engine": "openvino", "self_check": False, "exit_confidence": confidence, **own}
    )
    classifiers: list[Any] = list(load_replicas(source, replicas).classifiers)
    if replicas > 1:
        classifiers[0]._latency.compiling.join()
    found: Classifier = classifiers[0]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model_with_exits(tmp_path_factory.mktemp("models") / "exits")


@pytest.fixture(scope="module")
def expected(folder: str) -> dict[int, np.ndarray]:
    """The scores [texts, labels] after each depth, from transformers and the heads' weights."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    heads = {
        name: value.astype(np.float32)
        for name, value in load_file(Path(folder) / "exits.safetensors").items()
    }
    logits: dict[int, list[np.ndarray]] = {depth: [] for depth in (*EXITS, LAYERS)}
    for text in TEXTS:
        with torch.inference_mode():
            said = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        logits[LAYERS].append(said.logits[0].numpy())
        for layer in EXITS:
            mean = said.hidden_states[layer][0].mean(dim=0).numpy()
            dense = np.tanh(heads[f"{layer}.dense.weight"] @ mean + heads[f"{layer}.dense.bias"])
            head = f"{layer}.classifier"
            logits[layer].append(heads[f"{head}.weight"] @ dense + heads[f"{head}.bias"])
    return {depth: softmax(np.array(rows)) for depth, rows in logits.items()}


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def test_a_text_leaves_at_the_first_exit_that_is_sure(
    folder: str, expected: dict[int, np.ndarray]
) -> None:
    given = load(folder, CONFIDENCE).classify(TEXTS)
    for row, sentiment in enumerate(given):
        depth = next((layer for layer in EXITS if expected[layer][row].max() >= CONFIDENCE), LAYERS)
        assert sentiment.layers_used == depth
        assert sentiment.scores[0].score == pytest.approx(expected[depth][row].max(), abs=WITHIN)
    assert {sentiment.layers_used for sentiment in given} == {*EXITS, LAYERS}


@pytest.mark.parametrize(("confidence", "depth"), [(0.0, EXITS[0]), (1.0, LAYERS)])
def test_the_confidence_may_take_every_text_or_none(
    folder: str, expected: dict[int, np.ndarray], confidence: float, depth: int
) -> None:
    classifier = load(folder, confidence)
    assert classifier.info.layers == LAYERS
    for row, sentiment in enumerate(classifier.classify(TEXTS)):
        assert sentiment.layers_used == depth
        assert sentiment.scores[0].score == pytest.approx(expected[depth][row].max(), abs=WITHIN)


def test_a_batch_at_full_depth_takes_no_exit(folder: str) -> None:
    classifier = load(folder, 0.0)
    assert {s.layers_used for s in classifier.classify(TEXTS, full_depth=True)} == {LAYERS}
    assert {s.layers_used for s in classifier.classify(TEXTS)} == {EXITS[0]}


def test_the_models_own_confidence_is_the_default(folder: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "sure")
    set_exits(tmp_path / "sure", {"layers": list(EXITS), "confidence": 0.0})
    (sentiment,) = load(str(tmp_path / "sure"), None).classify(["good"])
    assert sentiment.layers_used == EXITS[0]


def test_what_left_is_not_computed_further(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[int, int] = {}

    def spy(request: Any, stage: int, inputs: dict[str, np.ndarray]) -> Any:
        rows[stage] = rows.get(stage, 0) + len(inputs["attention_mask"])
        return infer(request, stage, inputs)

    infer = StageRequest.infer
    monkeypatch.setattr(StageRequest, "infer", spy)
    classifier = load(folder, CONFIDENCE)
    depths = [sentiment.layers_used for sentiment in classifier.classify(TEXTS)]
    begun = {
        stage: sum(depth > layer for depth in depths) for stage, layer in enumerate((0, *EXITS))
    }
    assert rows == begun
    assert 0 < rows[2] < rows[1] < rows[0]


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_exit_does_not_depend_on_the_company(
    folder: str, replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The confidence is a text's own score, to the last digit: rounding alone would decide."""

    def rounding(request: Any, stage: int, inputs: dict[str, np.ndarray]) -> Any:
        logits, vectors = infer(request, stage, inputs)
        # As kernels of other shapes do, but for each micro-batch and always downwards.
        return logits * np.float32(1 - 1e-6 * (len(logits) - 1)), vectors

    infer = StageRequest.infer
    monkeypatch.setattr(StageRequest, "infer", rounding)
    order = random.Random(9)  # noqa: S311  # no secret
    classifier: Any = load(folder, 0.0, replicas=replicas)
    for place in order.sample(range(len(TEXTS)), 3):
        text = TEXTS[place]
        classifier._confidence = 0.0
        classifier._confidence = classifier.classify([text])[0].scores[0].score
        (alone,) = classifier.classify([text])
        for count in (1, 7, 40):
            among = classifier.classify([*order.sample(TEXTS, count), text])[-1]
            assert among.layers_used == alone.layers_used


def test_margins_are_wider_where_more_is_rounded() -> None:
    assert MARGINS["f32"] < HALF_MARGIN


def test_a_ready_made_form_has_the_exits_of_its_heads(folder: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    found = find_model(folder, None, allow_pickle=False)
    openvino.save_model(
        build_artifact(found, EXITS).model,
        tmp_path / "model" / "openvino_model.xml",
        compress_to_fp16=False,
    )
    ready = load(str(tmp_path / "model"), CONFIDENCE).classify(TEXTS)
    built = load(folder, CONFIDENCE).classify(TEXTS)
    assert [s.layers_used for s in ready] == [s.layers_used for s in built]

    openvino.save_model(build_artifact(found).model, tmp_path / "model" / "openvino_model.xml")
    with capture_logs() as events:
        full = load(str(tmp_path / "model"), CONFIDENCE)
    assert {s.layers_used for s in full.classify(TEXTS)} == {LAYERS}
    assert [event["layers"] for event in events if event["event"] == "exits_unused"] == [[*EXITS]]


def test_it_passes_the_self_check(folder: str) -> None:
    with capture_logs() as events:
        load(folder, CONFIDENCE, self_check=True)
    assert "one_text_at_a_time" not in [event["event"] for event in events]
    assert "self_check" in [event["event"] for event in events]


def test_the_heads_are_part_of_the_revision(folder: str, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "model")
    heads = bytearray((other / "exits.safetensors").read_bytes())
    heads[-1] ^= 1
    (other / "exits.safetensors").write_bytes(heads)
    one, two = (find_model(str(path), None, allow_pickle=False) for path in (folder, other))
    assert one.revision != two.revision


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {"layers": [], "confidence": 0.8},
        {"layers": [3, 1], "confidence": 0.8},
        {"layers": [1, LAYERS], "confidence": 0.8},
        {"layers": [0, 1], "confidence": 0.8},
        {"layers": [1, 3], "confidence": 1.5},
        {"layers": [1, 3]},
    ],
)
def test_a_wrong_entry_names_its_file(folder: str, tmp_path: Path, entry: object) -> None:
    shutil.copytree(folder, tmp_path / "model")
    set_exits(tmp_path / "model", entry)
    with pytest.raises(ModelUnusable, match=r"config\.json, exits: is no confidence"):
        load(str(tmp_path / "model"), None)


def test_missing_heads_are_named(folder: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "exits.safetensors").unlink()
    with pytest.raises(ModelUnusable, match=r"exits\.safetensors is missing"):
        load(str(tmp_path / "model"), None)
    assert load(str(tmp_path / "model"), 1.0).classify(["good"])[0].layers_used == LAYERS


@pytest.mark.parametrize("engine", ["openvino", "auto"])
def test_heads_that_do_not_fit_are_named(folder: str, tmp_path: Path, engine: str) -> None:
    other = shutil.copytree(folder, tmp_path / "model")
    replace_head(other, "3.dense.weight", np.zeros((LAYERS, 5), np.float16))
    says = r"exits\.safetensors does not fit config\.json: 3\.dense\.weight has shape \(4, 5\)"
    with pytest.raises(ModelUnusable, match=says):
        load(str(other), None, engine=engine)
    replace_head(other, "3.dense.weight", None)
    with pytest.raises(ModelUnusable, match=r"exits\.safetensors .* lack 3\.dense\.weight; take"):
        load(str(other), None, engine=engine)
    assert load(str(other), 1.0, engine=engine).classify(["good"])[0].layers_used == LAYERS


@pytest.mark.parametrize("broken", ["exits.safetensors", "tokenizer.json"])
def test_a_ready_form_serves_where_no_other_can_be_made(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """On a processor for which f32 is quicker, and without torch."""
    model = shutil.copytree(folder, tmp_path / "model")
    openvino.save_model(
        build_artifact(find_model(folder, None, allow_pickle=False), EXITS).model,
        model / "openvino_model_qint8.xml",
    )
    monkeypatch.setattr(selection, "_processor_flags", lambda: {"avx2"})
    for module in (selection, load_module, cache):
        monkeypatch.setattr(module, "can_convert", lambda: False)
    chosen = functools.partial(load, str(model), CONFIDENCE, engine="auto", precision="auto")
    assert chosen().info.precision == "f32"

    if broken == "exits.safetensors":
        replace_head(model, "3.dense.weight", np.zeros((LAYERS, 5), np.float16))
    else:
        give_other_types(model / broken)
    ready = chosen()
    assert ready.info.precision == "int8"
    assert {sentiment.layers_used for sentiment in ready.classify(TEXTS)} == {*EXITS, LAYERS}


def replace_head(folder: Path, name: str, array: np.ndarray | None) -> None:
    heads = load_file(folder / "exits.safetensors")
    del heads[name]
    save_file(heads | ({} if array is None else {name: array}), folder / "exits.safetensors")


def give_other_types(path: Path) -> None:
    """Let the tokenizer give a text's first token the type 1, which only torch would compute."""
    tokenizer = json.loads(path.read_text())
    tokenizer["post_processor"]["single"][0]["SpecialToken"]["type_id"] = 1
    path.write_text(json.dumps(tokenizer))


def test_a_confidence_for_a_model_without_exits_is_refused(two_labels: str) -> None:
    with pytest.raises(ModelUnusable, match="has no exits: leave it out") as caught:
        load(two_labels, 0.9)
    assert caught.value.setting == "exit_confidence"
    assert load(two_labels, 1.0).classify(["good"])[0].layers_used == 2


def test_the_pipeline_computes_every_layer(folder: str) -> None:
    with pytest.raises(ModelUnusable, match="the pipeline engine computes every layer") as caught:
        load(folder, 0.9, engine="pipeline")
    assert caught.value.setting == "exit_confidence"
    assert load(folder, None, engine="pipeline").classify(["good"])[0].layers_used == LAYERS

"""A training goes on where it stood, and learns both questions at every depth."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from training import fit as fitting
from training.answers import Answers
from training.batches import Batch
from training.exits import WithExits
from training.fit import fit, loss_of_labels
from training.recipe import Run, Written

RUN = Run("any", 1, 1e-3, 0.0, (), Written())


class Stopped(Exception):
    """The machine stops."""


@pytest.mark.full
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    answering: tuple[WithExits, Tokenizer],
    batched: list[Batch],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, _ = answering
    whole, resumed = copy.deepcopy(model), copy.deepcopy(model)
    fit(whole, RUN, batched, tmp_path / "whole.pt")

    class StopsHalfway(list[Batch]):
        def __getitem__(self, step):  # type: ignore[no-untyped-def]
            if step == len(self) // 2:
                raise Stopped
            return super().__getitem__(step)

    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0)
    with pytest.raises(Stopped):
        fit(copy.deepcopy(model), RUN, StopsHalfway(batched), tmp_path / "checkpoint.pt")
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    assert saved["done"] == len(batched) // 2
    fit(resumed, RUN, batched, tmp_path / "checkpoint.pt")

    untrained = model.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-5), name
    assert not torch.equal(
        whole.state_dict()["heads.1.dense.weight"], untrained["heads.1.dense.weight"]
    )


@pytest.mark.full
def test_every_depth_learns(
    answering: tuple[WithExits, Tokenizer], batched: list[Batch], tmp_path: Path
) -> None:
    model, _ = answering
    batch = batched[0]

    @torch.no_grad()
    def losses() -> list[float]:
        return [float(loss_of_labels(each, batch)) for each in model(batch.ids, batch.mask)]

    before = losses()
    fit(model, RUN, batched * 4, tmp_path / "checkpoint.pt")
    after = losses()
    assert len(before) == 2
    for depth in range(2):
        assert after[depth] < before[depth]


def test_the_two_questions_are_the_cross_entropy_of_three_labels(batched: list[Batch]) -> None:
    logits = torch.randn(1, 3)
    negative, neutral, positive = 0.3, 0.2, 0.5
    values = {
        "neutral": neutral,
        "neutral_weight": 1.0,
        "positive": positive / (negative + positive),
        "positive_weight": 1 - neutral,
    }
    batch = Batch(
        batched[0].ids, batched[0].mask, **{k: torch.tensor([v]) for k, v in values.items()}
    )
    target = torch.tensor([[negative, neutral, positive]])
    expected = torch.nn.functional.cross_entropy(logits, target)
    assert float(loss_of_labels(logits, batch)) == pytest.approx(float(expected), rel=1e-5)


def test_answers_are_asked_once_and_a_broken_line_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def model(texts: list[str]):  # type: ignore[no-untyped-def]
        asked.extend(texts)
        return torch.tensor([[0.25, 0.75]] * len(texts)).numpy()

    path = tmp_path / "answers.tsv"
    Answers(path).of(["a", "b", "a"], lambda: model)
    path.write_text(path.read_text()[:-4])  # the machine stopped while it wrote the last
    said = Answers(path).of(["b", "a", "c"], lambda: model)

    assert said.tolist() == [[0.25, 0.75]] * 3
    assert asked == ["a", "b", "b", "c"]
    assert len(path.read_text().splitlines()) == 3

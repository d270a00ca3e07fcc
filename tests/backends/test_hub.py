"""What works as a folder works by its name on the hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from valence_service.backends.source import ModelUnavailable, ModelUnusable, find_model

from tests.support.alike import check_alike
from tests.support.hub import hub
from tests.support.loading import load


@pytest.fixture
def here(two_labels: str, tmp_path: Path) -> Path:
    """A copy of the small model, for the hub to serve."""
    return shutil.copytree(two_labels, tmp_path / "here")


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Downloads of this test alone."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "downloads"))
    return monkeypatch


def fetch(
    here: Path,
    downloads: pytest.MonkeyPatch,
    *,
    name: str = "acme/tiny",
    revision: str | None = None,
    allow_pickle: bool = False,
) -> Path:
    """Find a model on a hub that has acme/tiny, as it is in a folder."""
    with hub(str(here), "acme/tiny") as served:
        downloads.setattr(constants, "ENDPOINT", served.address)
        template = f"{served.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        downloads.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        return find_model(name, revision, allow_pickle=allow_pickle).path


def test_a_tokenizer_has_all_its_files(here: Path, downloads: pytest.MonkeyPatch) -> None:
    # BERTweet's tokenizer: words are joined by bpe.codes, and there is no tokenizer.json.
    (here / "tokenizer.json").unlink()
    own = json.dumps({"tokenizer_class": "BertweetTokenizer"})
    (here / "tokenizer_config.json").write_text(own)
    (here / "vocab.txt").write_text("good 9\ngo@@ 1\nod 1\nbad 1\n")
    (here / "bpe.codes").write_text("o d</w> 9\ng o 8\ngo od</w> 7\nb a 6\nba d</w> 5\n")
    fetched = fetch(here, downloads)
    texts = ["good bad", "bad"]
    (several, one), expected = load(str(fetched)).classify(texts), load(str(here)).classify(texts)
    assert (several.tokens_total, one.tokens_total) == (4, 3)
    check_alike([several, one], expected)


@pytest.mark.parametrize("file", ["prophetnet.tokenizer", "qwen.tiktoken", "spiece.model"])
def test_files_of_tokenizers_are_fetched(
    here: Path, downloads: pytest.MonkeyPatch, file: str
) -> None:
    (here / file).write_text("words")
    assert (fetch(here, downloads) / file).read_text() == "words"


@pytest.mark.parametrize("file", ["model.py", "tf_model.h5", "flax_model.msgpack", "README.md"])
def test_what_nobody_reads_stays_on_the_hub(
    here: Path, downloads: pytest.MonkeyPatch, file: str
) -> None:
    (here / file).write_text("large")
    assert not (fetch(here, downloads) / file).exists()


def test_pickles_in_shards(here: Path, downloads: pytest.MonkeyPatch) -> None:
    shard = "pytorch_model-00001-of-00001.bin"
    torch.save(load_file(here / "model.safetensors"), here / shard)
    (here / "model.safetensors").unlink()
    (here / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"all": shard}}))
    with pytest.raises(ModelUnusable, match="has them as pickles, --allow-pickle fetches those"):
        fetch(here, downloads)
    assert (fetch(here, downloads, allow_pickle=True) / shard).exists()


def test_a_file_that_is_cut_off_on_the_hub(here: Path, downloads: pytest.MonkeyPatch) -> None:
    whole = (here / "model.safetensors").read_bytes()
    (here / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(ModelUnusable, match=f"has {len(whole) - 1} bytes, and its header says"):
        fetch(here, downloads)


@pytest.mark.parametrize("name", ["acme/other", "acme/no..such", "no such model"])
def test_a_name_that_is_wrong_is_the_settings_fault(
    here: Path, downloads: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(ModelUnusable, match="nor a public model of the hub: check its") as caught:
        fetch(here, downloads, name=name)
    assert not isinstance(caught.value, ModelUnavailable)


def test_a_revision_that_is_wrong_is_the_settings_fault(
    here: Path, downloads: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelUnusable, match="no such commit, branch or tag") as caught:
        fetch(here, downloads, revision="v9")
    assert caught.value.setting == "revision"


def test_a_folder_has_no_revisions(here: Path) -> None:
    with pytest.raises(ModelUnusable, match="only a model of the hub has revisions") as caught:
        find_model(str(here), "main", allow_pickle=False)
    assert caught.value.setting == "revision"


def test_a_hub_that_does_not_answer_is_nobodys_setting(downloads: pytest.MonkeyPatch) -> None:
    downloads.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="check its name, --revision and the connection"):
        find_model("acme/tiny", None, allow_pickle=False)

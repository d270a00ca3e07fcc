"""A long text costs bounded memory, and the answer says what was read of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.architectures import make_architecture
from tests.support.loading import load
from tests.support.server import environment

LONG = 4096


@pytest.fixture(scope="module")
def long_reader(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model that reads more tokens than the service does by itself."""
    return make_architecture(
        "bert",
        tmp_path_factory.mktemp("long") / "reader",
        max_tokens=LONG,
        max_position_embeddings=LONG,
        num_hidden_layers=1,
        num_attention_heads=8,
    )


@pytest.mark.parametrize("engine", ["pipeline", "openvino"])
def test_the_operator_bounds_what_is_read(engine: str, two_labels: str) -> None:
    classifier = load(two_labels, engine=engine, max_text_tokens=32)
    assert classifier.info.max_tokens == 32
    exact, long = classifier.classify(["good " * 30, "good " * 31])
    assert (exact.tokens_total, exact.tokens_used, exact.truncated) == (32, 32, False)
    assert (long.tokens_total, long.tokens_used, long.truncated) == (33, 32, True)
    assert load(two_labels, engine=engine).info.max_tokens == 64, "the model's, where it is less"


# kB that a process grows by, from a short text to the longest that it reads.
GROWTH = """
import sys
from pathlib import Path
from tests.support.loading import load
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
classifier = load(sys.argv[1], engine="openvino", self_check=False)
classifier.classify(["good"])
before = peak()
(sentiment,) = classifier.classify(["good " * 5000])
print(sentiment.tokens_used, sentiment.tokens_total, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_text_takes_little_memory(long_reader: str) -> None:
    # Converted beforehand: torch takes more memory than what is measured.
    load(long_reader, engine="openvino", self_check=False)
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, long_reader],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    used, total, grown = map(int, done.stdout.split())
    assert (used, total) == (2048, 5002)

    # The scores of one layer take 8 x 2,048 x 2,048 x 4 bytes, 134 MB, and plain attention keeps
    # several such matrices: all that there is without AVX2.
    matrices = 1 if os.environ.get("OV_CPU_MAX_ISA") != "SSE41" else 4
    assert grown < matrices * 134_000

"""Compressed files, named so or not, whole or damaged."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from valence_client.cli.reading import lines, opening

from tests.client.command import run
from tests.client.conftest import Serving
from tests.client.in_process import classify, records

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONTENT = b"text,n\n" + b"good,1\nbad,2\n" * 40
PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd.compress}
UNPACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".zst": zstd.decompress}


@pytest.mark.parametrize("end", PACK)
async def test_a_compressed_file(server: Serving, tmp_path: Path, end: str) -> None:
    file, output = tmp_path / f"a.csv{end}", tmp_path / f"out.jsonl{end}"
    file.write_bytes(PACK[end](CONTENT))
    done = await classify(server, "-f", file, "-o", output)
    assert (done.code, done.err) == (0, "")
    written = UNPACK[end](output.read_bytes()).splitlines()
    assert len(written) == 80
    assert written[0].startswith(b'{"text": "good", "n": "1", "label": "POSITIVE"')
    assert len(output.read_bytes()) < len(b"\n".join(written)) / 4


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
@pytest.mark.parametrize("pack", [*PACK.values(), bytes], ids=["gzip", "zstd", "plain"])
async def test_the_content_says_how_it_is_compressed(
    server: Serving, tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(CONTENT))
    done, found = await records(server, tmp_path / name)
    assert (done.code, len(found)) == (0, 80)


@pytest.mark.parametrize("end", PACK)
async def test_several_members_and_marks(server: Serving, tmp_path: Path, end: str) -> None:
    file = tmp_path / f"a.txt{end}"
    content = "good ☀\nbad\n".encode("utf-16")
    file.write_bytes(PACK[end](content[:9]) + PACK[end](content[9:]))
    done = await classify(server, "-f", file)
    assert (done.code, done.out) == (0, "POSITIVE  0.75  good ☀\nNEGATIVE  0.75  bad\n")


@pytest.mark.parametrize("end", PACK)
async def test_a_tsv_is_judged_unpacked(server: Serving, tmp_path: Path, end: str) -> None:
    file = tmp_path / f"a.tsv{end}"
    file.write_bytes(PACK[end](b'n\ttext\n1\t"good\n2\tbad\n'))
    done, found = await records(server, file)
    assert "a quote in line 2 does not enclose a cell" in done.err
    assert [record["text"] for record in found] == ['"good', "bad"]


@pytest.mark.parametrize("end", PACK)
async def test_stdin(server: Serving, end: str) -> None:
    packed = PACK[end](b"good\n")
    code, out, _ = await run("classify", "--address", server.address, stdin=packed)
    assert (code, out) == (0, "POSITIVE  0.75  good\n")


@pytest.mark.parametrize("end", PACK)
@pytest.mark.parametrize("damage", ["truncated", "trailing", "changed"])
async def test_a_damaged_file(server: Serving, tmp_path: Path, end: str, damage: str) -> None:
    content = b"".join(b"%d good\n" % n for n in range(200))
    first, second = PACK[end](content[:-70]), PACK[end](content[-70:])
    packed = {
        "truncated": first + second[:-6],
        "trailing": first + second + b"and more",
        "changed": first + second[:-6] + b"XXXXXX",
    }[damage]
    file, output = tmp_path / f"a.txt{end}", tmp_path / "out.csv"
    file.write_bytes(packed)
    done = await classify(server, "-f", file, "-o", output)
    assert done.code == 1
    assert f"{file} is damaged after " in done.err
    # What came before it has its records, and the last one is whole.
    written = output.read_bytes()
    assert written.count(b"POSITIVE") >= 190 - 7
    assert written.endswith(b"false,\n")


async def test_a_compressed_output_is_not_resumed(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good\n")
    output = tmp_path / "out.csv.gz"
    arguments = ("-f", tmp_path / "a.txt", "-o", output)
    done = await classify(server, *arguments, "--resume")
    assert (done.code, done.err) == (
        1,
        "valence: --resume continues an uncompressed --output of JSONL, CSV or TSV\n",
    )
    assert (await classify(server, *arguments)).code == 0
    done = await classify(server, *arguments)
    assert (done.code, done.err) == (
        1,
        f"valence: {output} exists: replace it with --overwrite\n",
    )
    (tmp_path / "a.txt").write_text("bad\n")
    assert (await classify(server, *arguments, "--overwrite")).code == 0
    assert b"bad,NEGATIVE" in gzip.decompress(output.read_bytes())


async def test_without_the_module_it_says_what_to_install(
    server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, zstd.__name__, None)
    monkeypatch.delattr(sys.modules[zstd.__name__.rpartition(".")[0]], "zstd")
    file = tmp_path / "a.txt.zst"
    file.write_bytes(PACK[".zst"](b"good\n"))
    done = await classify(server, "-f", file)
    assert (done.code, done.out) == (1, "")
    assert 'pip install "valence-client[zstd]"' in done.err


def test_a_long_line_is_not_unpacked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1 << 20)
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress(bytes(64 << 20), 1))
    tracemalloc.start()
    try:
        with opening.open_content(str(file), encoding="utf-8") as content:
            (line,) = lines.read_lines(content.file)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not line.whole
    assert peak_bytes < 16 << 20

"""The ``valence`` command in this process: what needs no process of its own is quicker so."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner
from valence_client.cli.app import app

from tests.client.command import environment
from tests.client.conftest import Serving


@dataclass(frozen=True)
class Done:
    """What became of a run."""

    code: int
    out: str
    err: str


async def classify(server: Serving, *arguments: str | Path) -> Done:
    words = ["classify", "--address", server.address, *map(str, arguments)]
    unset: dict[str, str | None] = dict.fromkeys(os.environ)
    runner = CliRunner(env=unset | environment())
    result = await asyncio.to_thread(runner.invoke, app, words)
    return Done(result.exit_code, result.stdout, result.stderr)


async def records(
    server: Serving, file: Path, *options: str | Path, into: str = "csv"
) -> tuple[Done, list[dict[str, Any]]]:
    """What became of the run, and the records of its output."""
    output = file.parent / f"out.{into}"
    done = await classify(server, "-f", file, "-o", output, "--overwrite", *options)
    if not output.exists():
        return done, []
    content = output.read_bytes().decode("utf-8-sig")
    if into == "jsonl":
        return done, [json.loads(line) for line in content.split("\n")[:-1]]
    delimiter = "\t" if into == "tsv" else ","
    return done, list(csv.DictReader(content.splitlines(keepends=True), delimiter=delimiter))

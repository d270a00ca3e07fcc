"""The machine that a page's figures belong to."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_name() -> str:
    """Return the processor's name for itself."""
    return next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )


KINDS = {
    "amx": "Processors with AMX",
    "vnni": "Processors with AVX-512 VNNI, without AMX",
    "avx2": "Processors with AVX2 alone",
}
"""Kinds of processor, the most instructions first. The last one is any other."""
_FLAGS = {"amx": "amx_int8", "vnni": "avx512_vnni"}


def kind() -> str:
    """Return the processor's kind: its instructions for products of matrices tell the speed."""
    flags = next(
        line.split() for line in Path("/proc/cpuinfo").read_text().splitlines() if "flags" in line
    )
    return next((kind for kind, flag in _FLAGS.items() if flag in flags), "avx2")


def memory_gib() -> int:
    """Return the size of the memory."""
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)

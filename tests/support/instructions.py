"""Run a command as on a processor with fewer instructions: ``instructions.py COMMAND...``.

OpenVINO, the oneDNN inside it and torch choose their kernels by what the processor can do, unless
the environment says less. Kernels round differently, so a test that holds with one set of them may
fail with another.

The service's own choice of a precision reads the processor's flags, which this does not change:
what depends on it sets a precision.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FEWER = {
    "AVX2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OV_CPU_MAX_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
    "SSE41": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OV_CPU_MAX_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
    },
}


def next_lower() -> str:
    """The largest set of instructions that lacks some of this processor's."""
    return "AVX2" if "avx512f" in Path("/proc/cpuinfo").read_text() else "SSE41"


def main() -> None:
    level = next_lower()
    print(f"with no instructions beyond {level}", file=sys.stderr)
    command = sys.argv[1:]
    os.execvpe(command[0], command, os.environ | FEWER[level])  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main()

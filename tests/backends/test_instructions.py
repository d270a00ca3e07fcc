"""`make fewer` takes instructions away: its variables reach every library that computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.instructions import FEWER

KERNELS = """
import json, sys
import openvino, torch, valence_model
from pathlib import Path
core = openvino.Core()
model = core.read_model(Path(valence_model.path()) / "openvino" / "openvino_model_qint8.xml")
graph = core.compile_model(model, "CPU").get_runtime_model()
facts = [operation.get_rt_info() for operation in graph.get_ops()]
kernels = {fact["primitiveType"].astype(str) for fact in facts if "primitiveType" in fact}
json.dump([torch.backends.cpu.get_cpu_capability(), *kernels], sys.stdout)
"""
# What the names of newer kernels hold: jit_avx2_f32, brgemm_avx512_amx_i8 and so on.
NEWER = {"AVX2": ("avx512", "amx", "AVX512"), "SSE41": ("avx", "amx", "AVX")}


@pytest.mark.full
@pytest.mark.parametrize("level", FEWER)
def test_no_library_computes_with_newer_instructions(level: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", KERNELS],
        capture_output=True,
        check=True,
        env=os.environ | FEWER[level],
    ).stdout
    kernels = json.loads(told)
    assert any(kernel.startswith("jit_") for kernel in kernels), kernels
    assert not [kernel for kernel in kernels for newer in NEWER[level] if newer in kernel]

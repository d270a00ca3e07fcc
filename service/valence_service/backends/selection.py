"""Select engine, precision and device, and say why."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from valence_service.backends.source import ModelUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

# The processor's flags for dot products of bytes, and of bfloat16 (x86, then Arm).
_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
PIPELINE_EXTRA = "pip install 'valence-service[pipeline]'"


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """The engine, precision and device that compute a model."""

    engine: str
    precision: str
    device: str
    reason: str
    """Why, for people; empty where the operator chose."""


def plan_execution(
    engine: str,
    precision: str,
    device: str,
    *,
    int8_ready: bool,
    others_ready: Callable[[], bool],
) -> ExecutionPlan:
    """Choose whatever the operator left to ``auto``.

    ``int8_ready`` says whether the model's folder carries an int8 form. ``others_ready`` returns
    whether the other precisions need no conversion; it reads the whole model, so it is called only
    where that decides. Raise ModelUnusable where the settings contradict each other, or this
    machine lacks what they need.
    """
    if engine == "openvino" and device not in ("auto", "cpu"):
        raise ModelUnusable(
            "--engine openvino computes on the CPU: use cpu, or --engine auto", setting="device"
        )
    if engine != "openvino":
        where = _torch_device(device, engine)
        if engine == "pipeline" or where != "cpu":
            return _pipeline(precision, where)
    return _openvino(precision, int8_ready=int8_ready, others_ready=others_ready)


def _pipeline(precision: str, device: str) -> ExecutionPlan:
    if precision == "int8":
        raise ModelUnusable(
            "the pipeline engine, which GPUs need, computes in f32 or bf16: use one of them, or "
            "--engine openvino on a CPU",
            setting="precision",
        )
    if precision != "auto":
        return ExecutionPlan("pipeline", precision, device, "")
    if device == "cpu":
        return ExecutionPlan("pipeline", "f32", device, "f32: the reference")
    import torch

    # Before Ampere a GPU has no bfloat16 of its own.
    best = "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "f16"  # noqa: PLR2004
    return ExecutionPlan("pipeline", best, device, f"{best}: the GPU's best half precision")


def _openvino(
    precision: str, *, int8_ready: bool, others_ready: Callable[[], bool]
) -> ExecutionPlan:
    if precision == "int8" and not int8_ready:
        raise ModelUnusable(
            "the model carries no int8 form (openvino/openvino_model_qint8.xml): "
            "auto takes what it has",
            setting="precision",
        )
    if precision != "auto":
        return ExecutionPlan("openvino", precision, "cpu", "")
    flags = _processor_flags()
    int8, bf16 = sorted(flags & _INT8_FLAGS), sorted(flags & _BF16_FLAGS)
    # Without a dot product of bytes, AVX2 computes float32 in 0.84 to 0.97 of int8's time.
    int8_slower = bf16 or "avx2" in flags
    if int8_ready and int8:
        why = f"int8: the processor has {int8[0]}"
    elif int8_ready and not int8_slower:
        why = "int8: the model has this form ready, and the processor no instructions for more"
    elif int8_ready and not (can_convert() or others_ready()):
        why = "int8: the model has this form ready, and no other can be made here"
    elif bf16:
        why = f"bf16: the processor has {bf16[0]}"
        why += ", and no int8 dot product" if int8_ready else ", the model has no int8 form"
    elif int8_ready:
        why = "f32: the processor has no dot product for less, and int8 would be slower"
    else:
        why = "f32: the processor has no instructions for less"
    return ExecutionPlan("openvino", why.split(":")[0], "cpu", why)


def can_convert() -> bool:
    """Return whether torch and transformers are installed, without importing them."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))


def _torch_device(wanted: str, engine: str) -> str:
    """Return ``cpu`` or ``cuda:N``. Import torch only where a GPU may be meant."""
    if engine == "auto" and wanted == "auto" and not (_has_gpu() and can_convert()):
        return "cpu"
    if engine == "auto" and wanted == "cpu":
        return "cpu"
    if not can_convert():
        raise ModelUnusable(
            f"torch and transformers are not installed: {PIPELINE_EXTRA}",
            setting="engine" if engine == "pipeline" else "device",
        )
    import torch

    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelUnusable(
            "is not a device of this machine: use cpu, or auto", setting="device"
        ) from error
    return "cuda:0" if wanted == "cuda" else wanted


def _has_gpu() -> bool:
    """Ask NVIDIA's driver whether there is a GPU: it takes a thousandth of torch's import."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return (
        driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    ) and count.value > 0


def _processor_flags() -> set[str]:
    """Return the first processor's flags as Linux names them; elsewhere none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()

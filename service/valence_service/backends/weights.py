"""Read safetensors files as arrays, without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import DTypeLike

_TYPES: dict[str, DTypeLike] = {"F32": np.float32, "F16": np.float16}
# numpy has no bfloat16: these are the upper 16 bits of a float32.
_BF16 = "BF16"


def read_safetensors(files: Iterable[Path]) -> dict[str, np.ndarray]:
    """Return the tensors of the files by name, in float32 or float16.

    Map them: pages are read when they are used, and processes of one machine share them. Leave out
    tensors of other types: they are no weights of a layer. The files are checked (integrity.py).
    """
    tensors: dict[str, np.ndarray] = {}
    for path in files:
        tensors |= _read(path)
    return tensors


def _read(path: Path) -> dict[str, np.ndarray]:
    # OpenVINO takes only arrays that may be written. Copy on write: the file stays as it is.
    content = np.memmap(path, np.uint8, "c")
    length = int.from_bytes(content[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    data = content[8 + length :]
    tensors = {}
    for name, tensor in header.items():
        start, end = tensor["data_offsets"]
        if tensor["dtype"] == _BF16:
            array = (data[start:end].view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif tensor["dtype"] in _TYPES:
            array = data[start:end].view(_TYPES[tensor["dtype"]])
        else:
            continue
        tensors[name] = array.reshape(tensor["shape"])
    return tensors

"""Weights: the only rooms that know torch, transformers, openvino and tokenizers."""

import sys

# openvino reports its use to its makers unless this package is missing; then it does without.
# Who runs a service for other people's texts has agreed to nothing of the kind.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

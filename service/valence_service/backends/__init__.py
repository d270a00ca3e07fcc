"""A model's name or files to classifiers: the only floor that imports the model libraries."""

import sys

# openvino reports its use to its makers unless this package is missing; then it does without.
# The operator of a service for other people's texts has not agreed to that.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

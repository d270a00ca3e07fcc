"""A model compiled for the CPU by OpenVINO, stage by stage.

There are two compiled forms. The throughput form gives each replica a stream of its own on a share
of the cores, and answers the most texts a second. The latency form has one stream on all cores, and
answers one text soonest. docs/decisions/0006-two-compiled-forms.md has the figures.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import openvino
import structlog

from valence_service.backends.stages import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from valence_service.backends.artifact import ModelArtifact

# Compute attention as products and a softmax: OpenVINO's fused kernel takes twice the time for many
# short texts (docs/decisions/0011-plain-attention.md).
PLAIN_ATTENTION = {"SNIPPETS_MODE": "DISABLE"}
# A model that reads longer texts gets the fused kernel. The parts stay in memory whole, and grow
# with the square of the tokens: with 12 heads, a text of 2,048 tokens takes 1,000 MB more, in the
# fused kernel 130 MB, and two thirds of the time.
MAX_PLAIN_ATTENTION_TOKENS = 1024
# Without padding each length of text is a shape of its own. So each stream keeps few kernels, of a
# third of a MB each; OpenVINO's default is 5,000.
FEW_KERNELS = {"CPU_RUNTIME_CACHE_CAPACITY": 64}
log = structlog.get_logger()

# OpenVINO fills its table of types at the first lookup. Two threads that look up at once deadlock
# over that table's lock and Python's. So one thread looks up here, before any replica computes.
openvino.Type.i64.to_dtype()


class CompiledForm:
    """The compiled stages of a model: one where it has no exits."""

    def __init__(self, stages: list[openvino.CompiledModel]) -> None:
        self._stages = stages
        self.inputs = [port.get_any_name() for port in stages[0].inputs]

    def request(self) -> StageRequest:
        """Return what one thread computes with."""
        return StageRequest([stage.create_infer_request() for stage in self._stages])


class StageRequest:
    """Computes the stages of a form, in one thread at a time."""

    def __init__(self, requests: list[openvino.InferRequest]) -> None:
        self._requests = requests

    def infer(
        self, stage: int, inputs: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits of shape [texts, labels], and the tokens' vectors if a stage follows."""
        request = self._requests[stage]
        request.infer(inputs, share_inputs=True)
        logits = np.array(request.get_output_tensor(0).data, np.float32)
        if stage == len(self._requests) - 1:
            return logits, None
        return logits, np.array(request.get_output_tensor(1).data, np.float32)


def compile_model(
    artifact: ModelArtifact, precision: str, *, streams: int, threads: int
) -> CompiledForm:
    """Compile the model for the CPU, to compute as many micro-batches at once as streams."""
    settings: dict[str, int | str] = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
    }
    if precision != "int8":
        # Without the hint an int8 model computes the rest in what the processor does best.
        settings["INFERENCE_PRECISION_HINT"] = precision
    undocumented: dict[str, int | str] = {}
    if artifact.input_spec.pad_id is None:
        undocumented |= FEW_KERNELS
    if artifact.input_spec.max_tokens <= MAX_PLAIN_ATTENTION_TOKENS:
        undocumented |= PLAIN_ATTENTION
    core = openvino.Core()
    stages = split(artifact.model, artifact.exits)
    try:
        return CompiledForm(
            [core.compile_model(stage, "CPU", settings | undocumented) for stage in stages]
        )
    except RuntimeError as error:
        # Another version of OpenVINO may not know these settings.
        if not any(name in str(error) for name in undocumented):
            raise
        log.warning("openvino_settings", without=undocumented, reason="unknown to this OpenVINO")
        return CompiledForm([core.compile_model(stage, "CPU", settings) for stage in stages])


class LatencyForm:
    """The form that computes a micro-batch of one text while every other replica is idle.

    Beside a busy replica it would compete for that one's cores, and both would be slower.

    A thread of its own compiles it beside the first calls. The throughput form can answer those,
    so the start does not wait.
    """

    def __init__(self, compile_form: Callable[[], CompiledForm]) -> None:
        """Start to compile."""
        self._lock = threading.Lock()
        self._computing = 0
        self._request: StageRequest | None = None
        # Not a daemon: OpenVINO aborts a process that exits while it compiles, such as a test's.
        self.compiling = threading.Thread(
            target=self._compile, args=(compile_form,), name="compile-latency-form"
        )
        self.compiling.start()

    def _compile(self, compile_form: Callable[[], CompiledForm]) -> None:
        try:
            self._request = compile_form().request()
        except Exception:
            log.exception("latency_form", hint="single texts take the throughput form: slower")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Count a replica that computes, in this form or in another."""
        with self._lock:
            self._computing += 1
        try:
            yield
        finally:
            with self._lock:
                self._computing -= 1

    def request(self) -> StageRequest | None:
        """Return what to compute with; None where the throughput form has to compute.

        That is until this form is compiled, and while another replica computes. Call it within
        computing(): so only one replica at a time gets through.
        """
        return None if self._computing > 1 else self._request

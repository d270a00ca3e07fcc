"""What `auto` takes, and what it says of it."""

from __future__ import annotations

import pytest
from valence_service.backends import selection
from valence_service.backends.selection import plan_execution
from valence_service.backends.source import ModelUnusable


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor without any instructions to speak of, and no GPU."""
    monkeypatch.setattr(selection, "_has_gpu", lambda: False)
    has(monkeypatch)
    return monkeypatch


def has(machine: pytest.MonkeyPatch, *flags: str) -> None:
    machine.setattr(selection, "_processor_flags", lambda: {"fpu", "avx2", *flags})


def auto(
    *, int8_ready: bool = True, others_ready: bool = True, device: str = "auto"
) -> tuple[str, str, str]:
    plan = plan_execution(
        "auto", "auto", device, int8_ready=int8_ready, others_ready=lambda: others_ready
    )
    return plan.engine, plan.precision, plan.reason


def test_int8_where_model_and_processor_have_it(machine: pytest.MonkeyPatch) -> None:
    has(machine, "avx512_vnni", "avx512_bf16")
    assert auto() == ("openvino", "int8", "int8: the processor has avx512_vnni")


def test_bf16_where_the_model_has_no_int8(machine: pytest.MonkeyPatch) -> None:
    has(machine, "avx512_vnni", "amx_bf16")
    assert auto(int8_ready=False)[1:] == (
        "bf16",
        "bf16: the processor has amx_bf16, the model has no int8 form",
    )


def test_bf16_where_the_processor_has_no_int8(machine: pytest.MonkeyPatch) -> None:
    has(machine, "bf16")
    assert auto()[1:] == ("bf16", "bf16: the processor has bf16, and no int8 dot product")


def test_f32_where_there_is_nothing_else(machine: pytest.MonkeyPatch) -> None:
    assert auto(int8_ready=False)[1:] == ("f32", "f32: the processor has no instructions for less")


def test_f32_where_int8_would_be_slower(machine: pytest.MonkeyPatch) -> None:
    reason = "f32: the processor has no dot product for less, and int8 would be slower"
    assert auto()[1:] == ("f32", reason)


def test_int8_where_it_is_ready_and_others_would_need_torch(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(selection, "can_convert", lambda: False)
    assert auto(others_ready=False)[1] == "int8"
    assert auto(others_ready=False)[2].endswith("and no other can be made here")
    has(machine, "bf16")
    assert auto(others_ready=False)[1] == "int8"
    assert auto()[1] == "bf16"


def test_int8_where_it_is_ready_and_the_processor_tells_nothing(
    machine: pytest.MonkeyPatch,
) -> None:
    machine.setattr(selection, "_processor_flags", set)
    assert auto()[1] == "int8"


def test_what_the_operator_chose_needs_no_reason(machine: pytest.MonkeyPatch) -> None:
    plan = plan_execution("openvino", "f32", "auto", int8_ready=True, others_ready=lambda: True)
    assert (plan.precision, plan.reason) == ("f32", "")


def test_a_gpu_without_torch_is_left_alone(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(selection, "_has_gpu", lambda: True)
    machine.setattr(selection, "can_convert", lambda: False)
    assert auto()[0] == "openvino"


@pytest.mark.parametrize(
    ("engine", "precision", "device", "says"),
    [
        ("openvino", "auto", "cuda", "computes on the CPU: use cpu, or --engine auto"),
        ("pipeline", "int8", "cpu", "computes in f32 or bf16: use one of them"),
        ("openvino", "int8", "cpu", "carries no int8 form"),
    ],
)
def test_what_does_not_go_together(
    machine: pytest.MonkeyPatch, engine: str, precision: str, device: str, says: str
) -> None:
    with pytest.raises(ModelUnusable, match=says):
        plan_execution(engine, precision, device, int8_ready=False, others_ready=lambda: True)


def test_without_torch_it_says_what_to_install(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(selection, "can_convert", lambda: False)
    with pytest.raises(ModelUnusable, match=r"pip install 'valence-service\[pipeline\]'"):
        plan_execution("pipeline", "auto", "cpu", int8_ready=True, others_ready=lambda: True)


def test_this_processor_is_read() -> None:
    assert selection._processor_flags(), "Linux tells what a processor can do"

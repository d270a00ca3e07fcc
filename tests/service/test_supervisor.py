"""How the machine is shared out among processes, and how their metrics add up."""

from __future__ import annotations

import asyncio
import socket

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families
from valence_service import supervisor
from valence_service.arguments import read_settings
from valence_service.process import Cores, process_count
from valence_service.setting_errors import SettingsError
from valence_service.shared_port import take_port
from valence_service.supervisor import Supervisor, share_cores
from valence_service.telemetry.endpoint import serve_metrics
from valence_service.telemetry.several import add_up, several_registry
from valence_service.transports.transport import CannotListen


@pytest.mark.parametrize(
    ("wanted", "cores", "count"), [(1, 64, 1), (3, 2, 3), (0, 2, 1), (0, 15, 1), (0, 64, 8)]
)
def test_zero_takes_a_process_for_every_eight_cores(wanted: int, cores: int, count: int) -> None:
    assert process_count(wanted, Cores(cores, "CPU affinity")) == count


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_the_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {9, 1, 4, 7, 3}, raising=False)
    shares = share_cores(Cores(5, "CPU affinity"), processes)
    assert [cpu for share in shares for cpu in share.cpus] == [1, 3, 4, 7, 9]
    assert [share.cores for share in shares] == [len(share.cpus) for share in shares]
    assert max(share.cores for share in shares) - min(share.cores for share in shares) <= 1


def test_more_processes_than_cores_have_one_each_and_stay_where_the_kernel_puts_them() -> None:
    shares = share_cores(Cores(2, "CPU quota of 1.5"), 3)
    assert [(share.cores, share.cpus) for share in shares] == [(1, ())] * 3


def test_a_port_is_taken_once() -> None:
    with take_port("127.0.0.1", 0, flag="--port") as held:
        port = held.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: address already in use.*--port"):
            take_port("127.0.0.1", port, flag="--port")
        with socket.socket() as shares:
            shares.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shares.bind(("127.0.0.1", port))


def test_a_unix_socket_is_not_shared() -> None:
    with pytest.raises(SettingsError, match=r"--processes .* unix socket"):
        read_settings(["--processes", "2", "--host", "unix:/tmp/valence.sock"])


SCRAPE = """\
# HELP valence_serving Whether.
# TYPE valence_serving gauge
valence_serving {serving}
# HELP valence_forecast_wait_seconds Wait.
# TYPE valence_forecast_wait_seconds gauge
valence_forecast_wait_seconds {calls}
# HELP valence_requests_total Calls.
# TYPE valence_requests_total counter
valence_requests_total{{method="Classify",code="OK"}} {calls}
# HELP valence_wait_seconds Waits.
# TYPE valence_wait_seconds histogram
valence_wait_seconds_bucket{{le="0.1"}} {calls}
valence_wait_seconds_bucket{{le="+Inf"}} {calls}
valence_wait_seconds_count {calls}
valence_wait_seconds_sum 0.5
# HELP valence_build_info What runs.
# TYPE valence_build_info gauge
valence_build_info{{version="1"}} 1.0
"""


def test_counts_are_added_up_and_one_that_does_not_serve_is_seen() -> None:
    scrapes = [SCRAPE.format(serving=1.0, calls=3.0), SCRAPE.format(serving=0.0, calls=4.0)]
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in add_up(map(text_string_to_metric_families, scrapes))
        for sample in family.samples
    }
    assert values == {
        ("valence_serving",): 0.0,
        ("valence_forecast_wait_seconds",): 4.0,
        ("valence_requests_total", "Classify", "OK"): 7.0,
        ("valence_wait_seconds_bucket", "0.1"): 7.0,
        ("valence_wait_seconds_bucket", "+Inf"): 7.0,
        ("valence_wait_seconds_count",): 7.0,
        ("valence_wait_seconds_sum",): 1.0,
        ("valence_build_info", "1"): 1.0,
    }


class Told:
    """A process's metrics at an address, and those of a few of them together."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.calls = Counter("valence_requests", "Calls.", registry=registry)
        Gauge("valence_serving", "Whether.", registry=registry).set(1)
        self.address = serve_metrics(registry, "127.0.0.1", 0)


@pytest.fixture
def two() -> tuple[Told, Told]:
    one, other = Told(), Told()
    one.calls.inc(10)
    other.calls.inc(5)
    return one, other


def test_a_sum_of_counts_never_falls(two: tuple[Told, Told]) -> None:
    one, other = two
    members = [(1, one.address), (2, other.address)]
    registry = several_registry(lambda: members, processes=2, restarts=lambda: 0)

    def now() -> tuple[float | None, float | None]:
        calls = registry.get_sample_value("valence_requests_total")
        return calls, registry.get_sample_value("valence_serving")

    assert now() == (15, 1)
    members.pop()  # it has ended
    assert now() == (15, 0)
    one.calls.inc(1)
    new = Told()
    new.calls.inc(2)
    members.append((3, new.address))
    assert now() == (18, 1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    members[1] = (4, nobody)
    assert now() == (18, 0)
    members.clear()
    assert now() == (18, 0)


def test_processes_are_not_asked_through_a_proxy(
    two: tuple[Told, Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    registry = several_registry(lambda: [(1, two[0].address)], processes=1, restarts=lambda: 0)
    assert registry.get_sample_value("valence_requests_total") == 10


async def test_a_process_that_cannot_start_again_is_tried_later_and_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delays: list[float] = []
    starts = iter([0, OSError("no memory"), 1, OSError("no memory"), 1])

    async def run_once(member: supervisor._Member, _: object) -> int:
        member.served_at = None
        outcome = next(starts)
        if isinstance(outcome, OSError):
            raise outcome
        # The first one has served for long, and the others die as they load.
        if not outcome:
            member.served_at = -1e9
        supervising._served.set()
        return 1

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 5:
            raise asyncio.CancelledError

    supervising = Supervisor(read_settings([]), Cores(2, "--cores"), 2)
    monkeypatch.setattr(supervising, "_run_once", run_once)
    monkeypatch.setattr("asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await supervising._keep(supervising._members[0], {})
    assert delays == [1, 2, 4, 8, 16]
    assert supervising.restarts == 5

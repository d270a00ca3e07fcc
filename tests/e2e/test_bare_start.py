"""A start with less than usual: no stderr, no home, no known user, no place to write, no tuning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valence.v1 import sentiment_pb2 as pb
from valence.v1 import sentiment_pb2_grpc

from tests.support.server import START_SECONDS, launched, run
from tests.support.waiting import until

# The embedded model as it is: whatever the processor, nothing is converted.
QUICK = ("--precision", "int8")


def shell(script: str) -> tuple[str, ...]:
    """Run the script in a shell, which ends by running the command: "$@"."""
    return ("sh", "-c", script, "sh")


def require(*within: str) -> Sequence[str]:
    """Skip the test where this machine or this user cannot run a command so."""
    try:
        python = [*within, sys.executable, "-c", "pass"]
        subprocess.run(python, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot run {within[0]} here: {error}")
    return within


def answered(address: str) -> None:
    """Ask the server as soon as it serves."""
    with grpc.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=START_SECONDS
        )
        assert any(health.status == health_pb2.HealthCheckResponse.SERVING for health in watch)
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        assert stub.Classify(pb.ClassifyRequest(text="good"), timeout=START_SECONDS).sentiment.label


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_exit_codes_without_stderr(stderr: str) -> None:
    within = shell(f'exec "$@" {stderr}')

    assert run("--prot", "1", within=within).returncode == 2
    missing = run("--port", "0", "--model", "/missing/model", within=within)
    assert missing.returncode == 2
    assert missing.stderr == ""


def test_help_without_stderr() -> None:
    helped = run("--help", within=shell('exec "$@" 2>&-'))

    assert helped.returncode == 0
    assert "--max-queue-texts" in helped.stdout


def address_of(pid: int) -> str | None:
    """Where the process listens; None where it does not yet."""
    for connection in psutil.Process(pid).net_connections():
        if connection.status == psutil.CONN_LISTEN:
            return f"127.0.0.1:{connection.laddr.port}"
    return None


@pytest.mark.full
async def test_it_serves_with_its_standard_streams_closed() -> None:
    with launched(*QUICK, within=shell('exec "$@" <&- >&- 2>&-')) as server:
        await until(lambda: server.process.poll() is not None or address_of(server.process.pid))
        address = address_of(server.process.pid)
        assert address
        answered(address)
        opened = Path(f"/proc/{server.process.pid}/fd")
        for number in range(3):
            assert (opened / str(number)).readlink() == Path(os.devnull)
        assert server.end() == 0


CRASHES = """
import threading
from valence_service import __main__, process
def crash():
    raise OSError("no loop today")
process.new_event_loop = crash
threading.Thread(target=threading.Event().wait).start()
__main__.main()
"""


def test_an_unforeseen_error_is_a_log_line_and_its_end_waits_for_no_thread() -> None:
    ended = run("--port", "0", python=("-c", CRASHES))

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["event"] == "crashed"
    assert "no loop today" in json.loads(line)["exception"]


# It may read everything: this Python may lie in a home that is closed to others.
UNKNOWN_USER = (
    *("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"),
    *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"),
)
READ_ONLY = """
mount --make-rprivate /
while read -r _ point _; do mount -o remount,bind,ro "$point"; done </proc/self/mounts 2>/dev/null
if touch /tmp/written "$PWD/written" 2>/dev/null; then exit 1; fi
exec "$@"
"""


@pytest.mark.full
def test_the_embedded_model_needs_no_home_no_known_user_and_no_place_to_write() -> None:
    within = require("env", "-i", "unshare", "-m", *shell(READ_ONLY), *UNKNOWN_USER)
    with launched(*QUICK, within=within) as server:
        events = [json.loads(next(server.lines()))["event"] for _ in range(2)]
        assert events == ["starting", "SERVING"]
        assert server.end() == 0


@pytest.mark.full
def test_a_cache_without_a_home_is_warned_of(traced: str) -> None:
    within = require("env", "-i", *UNKNOWN_USER)
    with launched("--model", traced, "--engine", "openvino", within=within) as server:
        warning = server.event("cache_unwritable")
        assert warning["folder"] == "/.cache/valence"
        assert "--cache-dir" in warning["hint"]
        server.event("SERVING")
        assert server.end() == 0


def test_libraries_make_no_folder_named_like_a_home() -> None:
    within = require("env", "-i", *UNKNOWN_USER)
    code = (
        "from valence_service.startup import ensure_home\n"
        "ensure_home()\n"
        "from huggingface_hub.constants import HF_HOME\n"
        "print(HF_HOME)"
    )
    ended = run(within=within, python=("-c", code))

    assert ended.stdout == "/.cache/huggingface\n", ended.stderr


TUNING_FAILS = """
import errno, os, sys
def refuse(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
os.getpriority = os.setpriority = refuse
sys.modules["uvloop"] = None
from valence_service.__main__ import main
main()
"""


@pytest.mark.full
def test_it_serves_where_no_tuning_is_allowed() -> None:
    with launched(*QUICK, python=("-c", TUNING_FAILS)) as server:
        assert server.event("event_loop")["chosen"] == "asyncio"
        assert "not implemented" in server.event("priority_unchanged")["reason"]
        answered(server.event("SERVING")["address"])
        assert server.end() == 0


@pytest.fixture
def quota_of_one_core() -> Iterator[Path]:
    """A cgroup of this machine, of either version, whose processes may use one core."""
    group = Path("/sys/fs/cgroup/cpu" if Path("/sys/fs/cgroup/cpu").exists() else "/sys/fs/cgroup")
    group /= f"valence-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text("95000")
            (group / "cpu.cfs_period_us").write_text("100000")
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text("95000 100000")
        else:
            pytest.skip("the cpu controller is not on for new cgroups")
        yield group
    finally:
        group.rmdir()


def test_the_cores_of_a_cgroup_with_a_quota(quota_of_one_core: Path) -> None:
    if os.cpu_count() == 1:
        pytest.skip("one core is all there is")
    within = shell(f'echo $$ >{quota_of_one_core}/cgroup.procs && exec "$@"')
    with launched(*QUICK, within=within) as server:
        starting = server.event("starting")
        assert (starting["cores"], starting["cores_limited_by"]) == (1, "CPU quota of 0.95")
    with launched(*QUICK, "--cores", "3", within=within) as server:
        starting = server.event("starting")
        assert (starting["cores"], starting["cores_limited_by"]) == (3, "--cores")

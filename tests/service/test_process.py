"""What the process may use, and that it serves where it may not."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from valence_service.process import (
    NICE,
    Cores,
    compute_thread,
    new_event_loop,
    pause_collector,
    read_cpu_quota,
    settle_collector,
    usable_cores,
)

V2 = "31 23 0:28 {} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 {} /sys/fs/cgroup/cpu,cpuacct rw master:7 - cgroup cgroup rw,cpu,cpuacct"
UNIFIED = "33 31 0:30 {} /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
OTHERS = (
    "23 1 8:1 / / rw - ext4 /dev/root rw\n"
    "40 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)
UNLIMITED = "max 100000\n"


def made_up(root: Path, groups: str, mounts: list[str], files: dict[str, str]) -> Path:
    """Make the files of a process in such groups; those of a group are below /sys/fs/cgroup."""
    files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    files["proc/self/cgroup"] = groups
    files["proc/self/mountinfo"] = OTHERS + "\n".join(mounts) + "\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"a/b/cpu.max": UNLIMITED, "a/cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "300000 100000\n", "a/b/cpu.max": "800000 200000\n"}, 3.0),
        ({"a/b/cpu.max": UNLIMITED, "a/cpu.max": UNLIMITED}, None),
        ({"a/b/c/cpu.max": "100000 100000\n", "z/cpu.max": "100000 100000\n"}, None),
        ({"a/b/cpu.max": "", "a/cpu.max": "100000 0\n"}, None),
        ({}, None),
    ],
)
def test_the_least_quota_of_a_group_and_those_above_it(
    files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    root = made_up(tmp_path, "0::/a/b\n", [V2.format("/")], files)

    assert read_cpu_quota(root) == quota


@pytest.mark.parametrize("mount", [V2, V1])
def test_a_container_with_cgroups_of_its_own(mount: str, tmp_path: Path) -> None:
    files = {
        "cpu.max": "250000 100000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    groups = "0::/\n" if mount == V2 else "4:cpu,cpuacct:/\n3:cpuset:/\n"
    root = made_up(tmp_path, groups, [mount.format("/")], files)

    assert read_cpu_quota(root) == 2.5


@pytest.mark.parametrize(
    ("group", "shown"),
    [
        ("/docker/abc", "/docker/abc"),
        ("/docker/abc", "/somewhere/else"),
        ("/../outside", "/"),
        ("/", "/.."),
    ],
)
def test_a_container_that_sees_its_group_from_outside(
    group: str, shown: str, tmp_path: Path
) -> None:
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}
    root = made_up(tmp_path, f"4:cpu,cpuacct:{group}\n", [V1.format(shown)], files)

    assert read_cpu_quota(root) == 0.5


def test_version_1_without_a_quota_below_a_group_with_one(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n",
        "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
    }
    root = made_up(tmp_path, "4:cpu,cpuacct:/a/b\n1:name=systemd:/z\n", [V1.format("/")], files)

    assert read_cpu_quota(root) == 4.0


@pytest.mark.parametrize("least", ["unified", "cpu,cpuacct"])
def test_either_version_of_a_hybrid_system_may_limit(least: str, tmp_path: Path) -> None:
    quotas = {"unified": 600000, "cpu,cpuacct": 600000} | {least: 200000}
    files = {
        "unified/a/cpu.max": f"{quotas['unified']} 100000\n",
        "cpu,cpuacct/b/cpu.cfs_quota_us": f"{quotas['cpu,cpuacct']}\n",
        "cpu,cpuacct/b/cpu.cfs_period_us": "100000\n",
    }
    mounts = [V1.format("/"), UNIFIED.format("/")]
    root = made_up(tmp_path, "4:cpu,cpuacct:/b\n0::/a\n", mounts, files)

    assert read_cpu_quota(root) == 2.0


def test_mounts_of_other_groups_and_names_with_spaces(tmp_path: Path) -> None:
    mounts = [
        r"50 1 0:28 /other /mnt/its\040host rw - cgroup2 cgroup2 rw",
        r"51 1 0:28 / /sys/fs/cgroup/my\040own rw shared:9 - cgroup2  rw",
    ]
    files = {"my own/a b/cpu.max": "300000 100000\n"}
    root = made_up(tmp_path, "0::/a b\n", mounts, files)
    (root / "mnt/its host").mkdir(parents=True)
    (root / "mnt/its host/cpu.max").write_text("100000 100000\n")

    assert read_cpu_quota(root) == 3.0


def test_without_proc_there_is_no_quota(tmp_path: Path) -> None:
    assert read_cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [
        ("250000 100000", Cores(3, "CPU quota of 2.5")),
        ("1000 100000", Cores(1, "CPU quota of 0.01")),
        ("800000 100000", Cores(8, "CPU affinity")),
        ("9900000 100000", Cores(8, "CPU affinity")),
        ("max 100000", Cores(8, "CPU affinity")),
    ],
)
def test_cores_are_the_least_of_affinity_and_quota(
    cpu_max: str, cores: Cores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    root = made_up(tmp_path, "0::/\n", [V2.format("/")], {"cpu.max": cpu_max})

    assert usable_cores(root=root) == cores
    assert usable_cores(5, root=root) == Cores(5, "--cores")


def refuse(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_cores_where_the_affinity_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", refuse)

    assert usable_cores(root=tmp_path).count == os.cpu_count()


@pytest.mark.skipif(sys.platform != "linux", reason="its threads have no priority of their own")
def test_a_thread_that_computes_has_a_lower_priority() -> None:
    with compute_thread("test") as pool:
        lowered = pool.submit(os.getpriority, os.PRIO_PROCESS, 0).result()

    assert lowered == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)


@pytest.mark.parametrize("call", ["getpriority", "setpriority"])
def test_a_thread_computes_where_its_priority_cannot_change(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, call, refuse)
    with compute_thread("test") as pool:
        assert pool.submit(sum, [1, 2]).result() == 3


def test_an_event_loop_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with capture_logs() as logs, asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(asyncio.sleep(0))

    assert [line["event"] for line in logs] == ["event_loop"]


@pytest.fixture
def _collector_restored() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    gc.enable()


class Model:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.model = self


@pytest.mark.usefixtures("_collector_restored")
def test_a_replaced_model_is_freed_when_the_collector_settles_again() -> None:
    model = Model()
    replaced = weakref.ref(model)
    pause_collector()
    settle_collector()
    del model
    gc.collect()
    assert replaced(), "what has settled is exempt"

    pause_collector()
    settle_collector()

    assert replaced() is None


@pytest.mark.usefixtures("_collector_restored")
def test_the_collector_pauses_and_runs_again() -> None:
    pause_collector()
    assert not gc.isenabled()
    settle_collector()
    assert gc.isenabled()

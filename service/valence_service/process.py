"""What the process may use: cores, the priority of its threads, the garbage collector.

None of it is needed to serve. Where a step fails, the service goes on without it.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import structlog

from valence_service.core.log_limit import RateLimitedLog

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where both want a core, a thread that computes gets a tenth of the event loop's share.
NICE = 10
# The collector looks at the youngest objects when there are this many new ones. A call's objects
# go with the call. At Python's own 700 the collector would look at those of calls under way again
# and again: under thousands of them, a twelfth of the event loop's time.
COLLECTED_OBJECTS = 10_000
# One event loop keeps up with about so many cores that compute.
CORES_A_PROCESS = 8
ROOT = Path("/")

# From proc(5): the fourth field is the group that the mount shows, the fifth is the mount point.
_MOUNT = re.compile(r"^\S+ \S+ \S+ (\S+) (\S+) .*?- (cgroup2?) \S* (\S+)$", re.MULTILINE)
_GROUP = re.compile(r"^\d+:([^:]*):(/.*)$", re.MULTILINE)
_ESCAPED = re.compile(r"\\([0-7]{3})")

log = structlog.get_logger()
_limited_log = RateLimitedLog()


@dataclass(frozen=True, slots=True)
class Cores:
    """How many cores the process may use, and what limits them."""

    count: int
    limited_by: str


def usable_cores(wanted: int | None = None, *, root: Path = ROOT) -> Cores:
    """Return the cores to compute on: as many as wanted, else all that the process may use.

    These are the least of its CPU affinity and its cgroup's quota. With more threads than that the
    process spends its quota early, and the kernel stops it for the rest of each period.
    """
    if wanted is not None:
        return Cores(wanted, "--cores")
    cores = Cores(_affinity(), "CPU affinity")
    quota = read_cpu_quota(root)
    if quota is not None and math.ceil(quota) < cores.count:
        cores = Cores(math.ceil(quota), f"CPU quota of {quota:g}")
    return cores


def process_count(wanted: int, cores: Cores) -> int:
    """Return how many processes to start: as many as wanted, else one for every eight cores."""
    return wanted or max(1, cores.count // CORES_A_PROCESS)


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux, or a sandbox forbids it
        return os.cpu_count() or 1


def read_cpu_quota(root: Path = ROOT) -> float | None:
    """Return the process's CPU quota in cores, or None if it has none.

    It is the least quota of the process's group and of the groups above it. Both versions of
    cgroups are read: on a hybrid system either may have the cpu controller.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text("utf-8", "surrogateescape")
        mounts = (root / "proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:  # not Linux, or /proc is hidden
        return None
    folders = {root.joinpath(*folder.parts[1:]) for folder in _cpu_groups(groups, mounts)}
    return min(filter(None, map(_quota, folders)), default=None)


def _cpu_groups(groups: str, mounts: str) -> Iterator[PurePosixPath]:
    """Yield the folder of each group that can limit the process's CPU time."""
    for controllers, name in _GROUP.findall(groups):
        if controllers and "cpu" not in controllers.split(","):
            continue
        kind = "cgroup" if controllers else "cgroup2"
        shown = [
            (_path(top), _path(point))
            for top, point, mounted, options in _MOUNT.findall(mounts)
            if mounted == kind and (kind == "cgroup2" or "cpu" in options.split(","))
        ]
        group = PurePosixPath(name)
        # A mount may show a part of the tree that the group is not in. Without any better, a
        # container sees its group under a name from outside, and the mount point is the group.
        for top, point in [pair for pair in shown if group.is_relative_to(pair[0])] or shown:
            folder = point
            if group.is_relative_to(top) and ".." not in group.parts:
                folder = point / group.relative_to(top)
            while folder != point:
                yield folder
                folder = folder.parent
            yield point


def _path(escaped: str) -> PurePosixPath:
    return PurePosixPath(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), escaped))


def _quota(group: Path) -> float | None:
    """Return the quota of this group alone, in cores."""
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        # A file that is missing, or "max" for a number: no quota.
        with suppress(OSError, ValueError):
            numbers = " ".join((group / file).read_text("ascii") for file in files)
            quota, period = map(int, numbers.split())
            if quota > 0 and period > 0:
                return quota / period
    return None


def compute_thread(name: str) -> ThreadPoolExecutor:
    """Return a pool of one thread, with a lower priority than the event loop's.

    The threads that it starts itself inherit the priority. On a machine whose cores all compute,
    each step of a call would otherwise wait for a slice of time: the loop would accept calls so
    late that their deadlines had passed.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_lower_priority)


def _lower_priority() -> None:
    # A thread has a priority of its own on Linux alone.
    if sys.platform == "linux":
        try:
            nice = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, nice + NICE))
        except OSError as error:  # a sandbox may forbid it; raised here, it would break the pool
            _limited_log.warning("priority_unchanged", str(error))


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop, or else asyncio's.

    On uvloop's the service answers a quarter more unary calls a second.
    """
    try:
        import uvloop

        return uvloop.new_event_loop()
    except Exception as error:  # not installed, or not for this processor or kernel
        log.warning("event_loop", chosen="asyncio", reason=f"uvloop: {error}")
        return asyncio.new_event_loop()


def pause_collector() -> None:
    """Stop the garbage collector while a model is loaded.

    Imports create much and drop little, so the collector would only cost time. And where it meets
    one of grpc's objects while an import holds logging's lock, grpc can deadlock
    (grpc/grpc#43421).
    """
    gc.disable()


def settle_collector() -> None:
    """Collect all garbage, exempt what is left from later collections, and start the collector.

    What lives when a model has been loaded mostly lives to the end: the collector need not look at
    it again and again. Call this after each load or reload, when the old model has been dropped.
    It looks anew at all that earlier calls exempted, and so frees the old model's cycles. Every
    thread waits meanwhile: a tenth of a second, with torch imported a quarter.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_OBJECTS)
    gc.enable()

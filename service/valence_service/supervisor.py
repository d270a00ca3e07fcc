"""Several server processes on one port: start them, replace one that ends, end all.

Each has an event loop, a model and a queue of its own, and a share of the cores. The kernel gives
each new connection to one of them. The supervisor takes no calls.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from valence_service.shared_port import take_port
from valence_service.signals import stop_signals
from valence_service.transports.transport import CannotListen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valence_service.process import Cores
    from valence_service.settings import Settings

# A process that ends is replaced after the first of these, and later each time that it ends again.
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 1.0, 30.0
# One that has served for so long has recovered: its next end counts as the first.
RECOVERED_SECONDS = 60.0
# The processes end by themselves within the grace. One that has not after this is killed.
KILL_SECONDS = 5.0
FAILED = 1
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Share:
    """A process's part of the cores."""

    cores: int
    cpus: tuple[int, ...]
    """Where it runs; empty where the cores are limited by more than the CPUs that there are."""


def share_cores(cores: Cores, processes: int) -> list[Share]:
    """Divide the cores among the processes, each of which gets one at least."""
    cpus: Sequence[int] = ()
    if cores.limited_by == "CPU affinity" and hasattr(os, "sched_getaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
    bounds = [cores.count * number // processes for number in range(processes + 1)]
    return [
        Share(max(1, end - begin), tuple(cpus[begin:end]))
        for begin, end in itertools.pairwise(bounds)
    ]


@dataclass(slots=True)
class _Member:
    """A server process, and the next one in its place."""

    number: int
    share: Share
    process: asyncio.subprocess.Process | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    """Where it listens, once it serves."""
    served_at: float | None = None


class Supervisor:
    """Runs server processes until a signal ends them. Belongs to one event loop."""

    def __init__(self, settings: Settings, cores: Cores, processes: int) -> None:
        self._settings = settings
        self._cores = cores
        self._members = [
            _Member(number, share) for number, share in enumerate(share_cores(cores, processes))
        ]
        self._served = asyncio.Event()
        self._stopping = False
        self.restarts = 0
        """Number of processes that have ended and been replaced."""

    async def run(self) -> int:
        """Return the exit code: 0, or that of a process that could not start at first.

        Raise CannotListen.
        """
        with stop_signals() as stop, ExitStack() as held:
            ports = self._take_ports(held)
            metrics = self._serve_metrics()
            log.info(
                "supervising",
                **{name: f"{host}:{port}" for name, (host, port) in ports.items()},
                **metrics,
                processes=len(self._members),
                cores=self._cores.count,
                cores_limited_by=self._cores.limited_by,
            )
            orders = self._orders({name: port for name, (_, port) in ports.items()})
            stopping = asyncio.create_task(stop.wait())
            served = asyncio.create_task(self._served.wait())
            # The first one converts the model if need be, and the others find that done.
            tasks = [asyncio.create_task(self._keep(self._members[0], orders))]
            await asyncio.wait([stopping, served, *tasks], return_when=asyncio.FIRST_COMPLETED)
            if served.done():
                tasks += [
                    asyncio.create_task(self._keep(member, orders)) for member in self._members[1:]
                ]
            try:
                await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
                ended = [task for task in tasks if task.done()]
                return ended[0].result() if ended else 0
            finally:
                self._stopping = True
                for task in (stopping, served):
                    task.cancel()
                await self._end(tasks)
                log.info("stopped")

    def _metrics_addresses(self) -> list[tuple[int, str]]:
        """Return the id of each process that serves, and where it tells its metrics."""
        return [
            (member.process.pid, member.addresses["metrics"])
            for member in self._members
            if member.process and member.addresses
        ]

    async def _keep(self, member: _Member, orders: dict[str, Any]) -> int:
        """Run the member's process, again each time that it ends.

        Return its exit code if no process has served before: another one would end likewise.
        """
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                code = await self._run_once(member, orders)
            except OSError as error:  # no memory, no process, no file is left: the others serve on
                log.error("process_not_started", process=member.number, reason=str(error))
                code = FAILED
            if self._stopping:
                return 0
            if not self._served.is_set():
                return code if code > 0 else FAILED
            if member.served_at and time.monotonic() - member.served_at > RECOVERED_SECONDS:
                delay = FIRST_DELAY_SECONDS
            log.error("process_ended", process=member.number, exit_code=code, restart_seconds=delay)
            self.restarts += 1
            await asyncio.sleep(delay)
            delay = min(MAX_DELAY_SECONDS, 2 * delay)

    async def _run_once(self, member: _Member, orders: dict[str, Any]) -> int:
        """Start the member's process and return its exit code."""
        member.served_at = None
        ours, its = socket.socketpair()
        with its:
            member.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "valence_service.supervised", str(its.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
                # A terminal's Ctrl-C reaches the supervisor alone, which then ends the others.
                start_new_session=True,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        settings = {**orders, "cores": member.share.cores}
        said = {"process": member.number, "cpus": member.share.cpus, "settings": settings}
        writer.write(json.dumps(said).encode() + b"\n")
        try:
            with suppress(OSError, ValueError):  # it ended before it had said where it listens
                if line := await reader.readline():
                    member.addresses = json.loads(line)
                    member.served_at = time.monotonic()
                    self._served.set()
            return await member.process.wait()
        finally:
            member.addresses = {}
            writer.close()

    async def _end(self, tasks: Sequence[asyncio.Task[int]]) -> None:
        """Send SIGTERM to every process, and wait until all have ended."""
        for member, task in zip(self._members, tasks, strict=False):
            if not _signal(member, "terminate"):
                task.cancel()  # it waits to start the process anew
        _, late = await asyncio.wait(tasks, timeout=self._settings.grace_seconds + KILL_SECONDS)
        for member in self._members if late else ():
            _signal(member, "kill")
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take_ports(self, held: ExitStack) -> dict[str, tuple[str, int]]:
        """Return the addresses, each held so that no other server gets it."""
        wanted = {"address": (self._settings.host, self._settings.port, "")}
        if self._settings.http_port is not None:
            wanted["http"] = (self._settings.http_host, self._settings.http_port, "http-")
        ports = {}
        for name, (host, port, prefix) in wanted.items():
            taken = held.enter_context(take_port(host, port, flag=f"--{prefix}port"))
            ports[name] = (host, taken.getsockname()[1])
        return ports

    def _serve_metrics(self) -> dict[str, str]:
        settings = self._settings
        if settings.metrics_port is None:
            return {}
        from valence_service.telemetry.endpoint import CannotServe, serve_metrics
        from valence_service.telemetry.several import several_registry

        registry = several_registry(
            self._metrics_addresses,
            processes=len(self._members),
            restarts=lambda: self.restarts,
        )
        try:
            address = serve_metrics(registry, settings.metrics_host, settings.metrics_port)
        except CannotServe as error:
            raise CannotListen(str(error)) from error
        return {"metrics": address}

    def _orders(self, ports: dict[str, int]) -> dict[str, Any]:
        """Return the settings of every process."""
        orders = self._settings.model_dump(mode="json", exclude_unset=True)
        orders |= {"processes": 1, "port": ports["address"]}
        if "http" in ports:
            orders["http_port"] = ports["http"]
        if self._settings.metrics_port is not None:
            orders |= {"metrics_host": "127.0.0.1", "metrics_port": 0}
        return orders


def _signal(member: _Member, action: str) -> bool:
    """Return whether there was a process to signal."""
    if member.process is None or member.process.returncode is not None:
        return False
    with suppress(ProcessLookupError):
        getattr(member.process, action)()
    return True

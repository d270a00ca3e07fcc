"""The image's files as a container of this machine: process 1 of its own namespaces, as the image's
user, on a read-only root, within limits of a control group.

It does what a container runtime does with the image's configuration, and needs root.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import START_SECONDS, Server

ROOT = Path(__file__).parents[2]
CGROUPS = Path("/sys/fs/cgroup")
START = """
for group in $GROUPS_OF_IT; do echo $$ > "$group/cgroup.procs"; done
exec unshare --mount --net --pid --fork --kill-child sh -euc '
ip link set lo up
mount --bind "$IMAGE" "$IMAGE"
mount --rbind /dev "$IMAGE/dev"
mount --rbind /sys "$IMAGE/sys"
mount -t proc none "$IMAGE/proc"
mount -o remount,ro,bind "$IMAGE"
exec env -i $ENVIRONMENT /usr/sbin/chroot --userspec="$OWNER" "$IMAGE" "$@"' sh "$@"
"""


def image(*words: str) -> str:
    """Return what .ci/image prints."""
    done = subprocess.run(
        [ROOT / ".ci/image", *words], capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Limits:
    """Control groups that bound a process."""

    groups: tuple[Path, ...]

    @classmethod
    @contextmanager
    def made(cls, *, cores: int, memory_mb: int) -> Iterator[Limits]:
        """Make them, of either version; skip the test where this machine has none to give."""
        values = {
            "cpu": {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": cores * 100_000},
            "memory": {"memory.limit_in_bytes": memory_mb << 20},
        }
        parents = {controller: CGROUPS / controller for controller in values}
        if (CGROUPS / "cgroup.controllers").exists():
            parents = {"": CGROUPS}
            values = {"": {"memory.max": memory_mb << 20}}
        made: list[Path] = []
        try:
            for controller, parent in parents.items():
                group = parent / f"valence-test-{os.getpid()}"
                group.mkdir()
                made.append(group)
                if not controller:
                    (group / "cpu.max").write_text(f"{cores * 100_000} 100000")
                for name, value in values[controller].items():
                    (group / name).write_text(str(value))
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error}")
        try:
            yield cls(tuple(made))
        finally:
            for group in made:
                group.rmdir()


@dataclass(frozen=True)
class Image:
    """An image that has been built: its files and its configuration."""

    target: str
    files: Path

    @property
    def configuration(self) -> dict[str, Any]:
        """What a container runtime reads."""
        found: dict[str, Any] = json.loads(image("inspect", self.target))["Docker"]["config"]
        return found

    @contextmanager
    def started(self, *arguments: str, limits: Limits) -> Iterator[Server]:
        """Start its entry point; at the end it is gone."""
        configuration = self.configuration
        process = subprocess.Popen(
            ["/bin/sh", "-euc", START, "sh", *configuration["Entrypoint"], *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "IMAGE": str(self.files),
                "OWNER": configuration["User"],
                "ENVIRONMENT": " ".join(configuration["Env"]),
                "GROUPS_OF_IT": " ".join(map(str, limits.groups)),
            },
        )
        try:
            yield Server(process)
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()

    def beside(self, server: Server, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container of the server, as its user."""
        configuration = self.configuration
        user, _, group = configuration["User"].partition(":")
        into = f"--target={process_one(server)} --mount --net --pid --root".split()
        return subprocess.run(
            [
                "/usr/bin/nsenter",
                *into,
                f"--setgid={group}",
                f"--setuid={user}",
                *environment(configuration),
                *command,
            ],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )


def environment(configuration: Mapping[str, Any]) -> list[str]:
    """Return the command that runs another one with the image's variables alone."""
    return ["/usr/bin/env", "-i", *configuration["Env"]]


def process_one(server: Server) -> int:
    """The pid, as this process sees it, of the container's first process."""
    parent = server.process.pid
    (pid,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(pid)

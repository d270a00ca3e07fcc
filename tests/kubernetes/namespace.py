"""A container as a process of this machine: in namespaces of its own, as its user, on a read-only
root, its volumes mounted where the manifest says.

This needs root and Linux's namespaces. It is no container runtime: the process sees this machine's
files instead of an image's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kubernetes.rendered import Container, Manifest
from tests.support.server import START_SECONDS, Server, environment

PROBE = Path(__file__).with_name("probe.py")
# A mount point that this machine does not have lies in an overlay over the folder above it.
MOUNTS = """
mount -t tmpfs none "$SCRATCH"
mount_volume() {
  above=$(dirname "$2"); while [ ! -d "$above" ]; do above=$(dirname "$above"); done
  over="$SCRATCH/$3"; mkdir "$over" "$over/upper" "$over/work"
  mount -t overlay none -o "lowerdir=$above,upperdir=$over/upper,workdir=$over/work" "$above"
  mkdir -p "$2"
  mount --bind "$1" "$2"
}
"""
READ_ONLY = "mount -o remount,ro,bind /\n"


@dataclass(frozen=True)
class Namespace:
    """How a container of a pod runs here."""

    pod: Manifest
    container: Container
    volumes: Mapping[str, Path]
    """The folder of each volume, by name."""
    scratch: Path
    """An empty folder."""

    def within(self, *, network: bool = False) -> list[str]:
        """Return the command that runs another one in the container's place."""
        steps = [MOUNTS]
        for index, (name, at) in enumerate(self.container.mounts.items()):
            steps.append(f"mount_volume {self.volumes[name]} {at} {index}\n")
        steps += (
            [READ_ONLY] if self.container.spec["securityContext"]["readOnlyRootFilesystem"] else []
        )
        steps += [] if network else ["ip link set lo up\n"]
        steps += [f'exec {" ".join(self.as_its_user())} "$@"']
        isolated = ["--mount", *([] if network else ["--net"])]
        return ["unshare", *isolated, "sh", "-euc", "".join(steps), "sh"]

    def as_its_user(self) -> list[str]:
        """Return the command that runs another one with the rights that the manifest gives."""
        rights, own = self.pod["securityContext"], self.container.spec["securityContext"]
        assert rights["runAsNonRoot"]
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["allowPrivilegeEscalation"] is False
        return [
            "setpriv",
            f"--reuid={rights['runAsUser']}",
            f"--regid={rights['runAsGroup']}",
            f"--groups={rights['fsGroup']}",
            "--no-new-privs",
            "--bounding-set=-all",
        ]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the container's environment: an image brings nothing but a PATH."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        return {
            "PATH": path,
            "SCRATCH": str(self.scratch),
            **self.container.environment,
            **(extra or {}),
        }

    @contextmanager
    def started(self) -> Iterator[Server]:
        """Start it; at the end it is gone."""
        process = subprocess.Popen(
            [*self.within(), *self.container.command],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )
        try:
            yield Server(process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()

    def beside(self, server: Server, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the pod of the server, as its user."""
        pid = str(server.process.pid)
        inside = ["nsenter", f"--target={pid}", "--net", "--mount", *self.as_its_user()]
        return subprocess.run(
            [*inside, *command],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            env=environment({"PATH": self.environment()["PATH"]}),
        )

    def probe(self, server: Server, kind: str) -> bool:
        """Run a probe of the manifest once; whether it succeeds."""
        probe = self.container.spec[kind]
        if "exec" in probe:
            return self.beside(server, *probe["exec"]["command"]).returncode == 0
        if "grpc" in probe:
            ask = "grpc", str(probe["grpc"]["port"]), probe["grpc"]["service"]
        else:
            ask = "tcp", str(probe["tcpSocket"]["port"]), ""
        return self.beside(server, sys.executable, str(PROBE), *ask).returncode == 0


def require() -> None:
    """Skip the test where this user may not make such namespaces."""
    script = f"{READ_ONLY}ip link set lo up\nsetpriv --help"
    command = ["unshare", "--mount", "--net", "sh", "-euc", script]
    tried = subprocess.run([*command], capture_output=True, check=False)
    if os.geteuid() or tried.returncode:
        pytest.skip("containers need root, unshare, setpriv and iproute2 here")

"""The manifests as kustomize renders them, and a container as Kubernetes would start it."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
TOOLS = ROOT / ".venv-kubernetes/bin"

Manifest = dict[str, Any]


@functools.cache
def text(overlay: str) -> str:
    """Return what kustomize makes of an overlay."""
    return subprocess.run(
        [TOOLS / "kubectl", "kustomize", MANIFESTS / "overlays" / overlay],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def manifests(overlay: str) -> list[Manifest]:
    """Return its manifests."""
    return list(yaml.safe_load_all(text(overlay)))


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    """Return those of a kind."""
    return [manifest for manifest in manifests(overlay) if manifest["kind"] == kind]


def pod(overlay: str) -> Manifest:
    """Return the specification of the Deployment's pods."""
    (deployment,) = of_kind(overlay, "Deployment")
    found: Manifest = deployment["spec"]["template"]["spec"]
    return found


@dataclass(frozen=True)
class Container:
    """What Kubernetes starts."""

    command: list[str]
    environment: Mapping[str, str]
    spec: Manifest

    @property
    def ports(self) -> dict[str, int]:
        """Its ports by name."""
        return {port["name"]: port["containerPort"] for port in self.spec["ports"]}

    @property
    def mounts(self) -> dict[str, str]:
        """Where its volumes are mounted, by their names."""
        return {mount["name"]: mount["mountPath"] for mount in self.spec.get("volumeMounts", ())}


def server(overlay: str) -> Container:
    """Return the container that serves."""
    (spec,) = pod(overlay)["containers"]
    return _container(overlay, spec)


def init_containers(overlay: str) -> list[Container]:
    """Return those that run before it."""
    return [_container(overlay, spec) for spec in pod(overlay).get("initContainers", ())]


def _container(overlay: str, spec: Manifest) -> Container:
    command = [*spec["command"], *spec.get("args", ())]
    return Container(command, dict(_environment(overlay, spec)), spec)


def _environment(overlay: str, spec: Manifest) -> Iterator[tuple[str, str]]:
    maps = {found["metadata"]["name"]: found["data"] for found in of_kind(overlay, "ConfigMap")}
    for source in spec.get("envFrom", ()):
        yield from maps[source["configMapRef"]["name"]].items()
    for variable in spec.get("env", ()):
        yield variable["name"], variable["value"]

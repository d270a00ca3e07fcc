"""The manifests are valid, and their parts fit each other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from valence_service.settings import Settings
from valence_service.transports.contract import SERVICE_NAME

from tests.kubernetes.rendered import (
    MANIFESTS,
    OVERLAYS,
    ROOT,
    TOOLS,
    init_containers,
    manifests,
    of_kind,
    pod,
    server,
    text,
)
from tests.telemetry.expressions import metrics

NODE = ROOT / "tests/kubernetes/node"
OTHERS = ("cert-manager.io/", "gateway.networking.k8s.io/", "keda.sh/", "monitoring.coreos.com/")
RENDERED = pytest.mark.kubernetes
EACH = pytest.mark.parametrize("overlay", OVERLAYS)


def sources() -> Iterator[tuple[str, Any]]:
    """Yield every document of the manifests' own files."""
    for path in sorted(MANIFESTS.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield str(path.relative_to(MANIFESTS)), document


def variables(node: Any) -> Iterator[str]:
    """Yield the names of the environment variables in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "env":
                yield from (variable["name"] for variable in value)
            elif key == "data":
                yield from value
            else:
                yield from variables(value)
    elif isinstance(node, list):
        for value in node:
            yield from variables(value)


def test_every_variable_is_a_setting() -> None:
    names = {name for _, document in sources() for name in variables(document)}
    ours = {name.removeprefix("VALENCE_").lower() for name in names if name.startswith("VALENCE_")}
    assert {"host", "grace_seconds", "tls_certificate", "model", "device"} <= ours
    assert ours <= set(Settings.model_fields)


def test_the_alerts_are_those_of_prometheus() -> None:
    rule = yaml.safe_load((MANIFESTS / "components/monitoring/alerts.yaml").read_text())
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    assert rule["spec"] == alerts, "make manifests renews components/monitoring/alerts.yaml"


def test_every_component_is_in_an_overlay() -> None:
    components = {path.name for path in (MANIFESTS / "components").iterdir()}
    used = {
        component.rpartition("/")[2]
        for path, document in sources()
        if path.startswith("overlays/")
        for component in document.get("components", ())
    }
    assert used == components


def test_autoscaling_asks_for_the_forecast_wait() -> None:
    ((_, scaled),) = [(path, one) for path, one in sources() if one.get("kind") == "ScaledObject"]
    queries = [trigger["metadata"].get("query", "") for trigger in scaled["spec"]["triggers"]]
    assert metrics(queries[0]) == {"valence_forecast_wait_seconds"}


@RENDERED
@EACH
def test_kubernetes_own_schemas(overlay: str) -> None:
    checked = subprocess.run(
        [TOOLS / "kubernetes-validate", "--strict", "--no-warn", "/dev/stdin"],
        input=text(overlay),
        capture_output=True,
        text=True,
        check=False,
    )
    said = checked.stdout + checked.stderr
    assert checked.returncode == 0, said
    apis = [manifest["apiVersion"] for manifest in manifests(overlay)]
    ours = [api for api in apis if not api.startswith(OTHERS)]
    assert said.count("passed for resource") == len(ours)


@RENDERED
def test_the_schemas_of_other_resources() -> None:
    if not (NODE / "node_modules").exists():
        pytest.skip("node is not here: `make toolchains`, then `make manifests`")
    found = [
        manifest
        for overlay in OVERLAYS
        for manifest in yaml.safe_load_all(text(overlay))
        if manifest["apiVersion"].startswith(OTHERS)
    ]
    assert {manifest["apiVersion"].partition("/")[0] + "/" for manifest in found} == set(OTHERS)
    assert faults(found) == []
    misspelt = json.loads(json.dumps(found[0]))
    misspelt["spec"]["duraton"] = "1h"
    (fault,) = faults([misspelt])
    assert "spec.duraton" in fault


def faults(given: list[Any]) -> list[str]:
    """Return what the schemas find."""
    checked = subprocess.run(
        ["/usr/bin/env", "node", NODE / "schemas.mjs"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(checked.stdout)
    return found


@RENDERED
@EACH
def test_the_parts_fit_each_other(overlay: str) -> None:
    (deployment,) = of_kind(overlay, "Deployment")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    ports = server(overlay).ports
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    for service in of_kind(overlay, "Service"):
        assert service["spec"]["selector"].items() <= labels
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
    (budget,) = of_kind(overlay, "PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels
    (policy,) = of_kind(overlay, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
    allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == set(ports)
    for spread in template["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels
    for account in of_kind(overlay, "ServiceAccount"):
        assert template["spec"]["serviceAccountName"] == account["metadata"]["name"]


@RENDERED
@EACH
def test_the_pod_has_time_to_end(overlay: str) -> None:
    container = server(overlay)
    before = container.spec["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = float(container.environment["VALENCE_GRACE_SECONDS"])
    assert before + grace + 5 <= pod(overlay)["terminationGracePeriodSeconds"]


@RENDERED
@EACH
def test_cores_are_whole_and_reserved(overlay: str) -> None:
    for container in (server(overlay), *init_containers(overlay)):
        resources = container.spec["resources"]
        assert resources["requests"] == resources["limits"]
        assert int(resources["limits"]["cpu"]) >= 1


@RENDERED
@EACH
def test_pods_are_restricted(overlay: str) -> None:
    """Kubernetes's restricted standard, and a root that nobody can write to."""
    spec = pod(overlay)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in (server(overlay), *init_containers(overlay)):
        assert container.spec["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    volumes = {kind for volume in spec.get("volumes", ()) for kind in volume if kind != "name"}
    assert volumes <= {"configMap", "emptyDir", "secret"}


@RENDERED
@EACH
def test_probes(overlay: str) -> None:
    container = server(overlay)
    for kind in ("startupProbe", "readinessProbe"):
        probe = container.spec[kind]
        if "grpc" in probe:
            assert probe["grpc"] == {"port": container.ports["grpc"], "service": SERVICE_NAME}
        else:
            assert probe["exec"]["command"][:2] == ["valence", "health"]
            assert probe["timeoutSeconds"] <= probe["periodSeconds"]
    # A model may take ten minutes to load, and liveness is not health.
    started = container.spec["startupProbe"]
    assert started["periodSeconds"] * started["failureThreshold"] >= 600
    assert container.spec["livenessProbe"]["tcpSocket"] == {"port": container.ports["grpc"]}


@RENDERED
def test_what_others_ask_of_the_servers_is_there() -> None:
    overlay = "production"
    services = {service["metadata"]["name"]: service for service in of_kind(overlay, "Service")}
    (monitor,) = of_kind(overlay, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (scraped,) = [one for one in services.values() if wanted <= one["metadata"]["labels"].items()]
    assert scraped["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "valence"
    assert {end["port"] for end in monitor["spec"]["endpoints"]} <= {
        port["name"] for port in scraped["spec"]["ports"]
    }
    (route,) = of_kind(overlay, "GRPCRoute")
    for rule in route["spec"]["rules"]:
        for backend in rule["backendRefs"]:
            ports = [port["port"] for port in services[backend["name"]]["spec"]["ports"]]
            assert backend["port"] in ports
    (scaled,) = of_kind(overlay, "ScaledObject")
    (deployment,) = of_kind(overlay, "Deployment")
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]


@RENDERED
def test_certificates_have_the_names_that_clients_call() -> None:
    overlay = "mtls"
    secrets = {one["spec"]["secretName"]: one["spec"] for one in of_kind(overlay, "Certificate")}
    volumes = {v["name"]: v["secret"]["secretName"] for v in pod(overlay)["volumes"]}
    certificate = secrets[volumes["tls"]]
    services = {service["metadata"]["name"] for service in of_kind(overlay, "Service")}
    assert set(certificate["dnsNames"]) == services
    assert set(certificate["usages"]) == {"server auth", "client auth"}
    for probe in ("startupProbe", "readinessProbe"):
        command = server(overlay).spec[probe]["exec"]["command"]
        (name,) = [word.partition("=")[2] for word in command if word.startswith("--server-name=")]
        assert name in services
    issuers = {one["metadata"]["name"] for one in of_kind(overlay, "Issuer")}
    assert {one["issuerRef"]["name"] for one in secrets.values()} == issuers

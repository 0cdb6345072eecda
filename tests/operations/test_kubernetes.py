"""The manifests for Kubernetes, built with kubectl and validated against its own schemas."""

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.metrics import Metrics

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSION = "1.30"


def build(folder: str) -> dict[str, dict[str, Any]]:
    built = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {each["kind"]: each for each in yaml.safe_load_all(built.stdout)}


@pytest.fixture(scope="module", params=["base", "overlays/gpu"])
def manifests(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    return build(request.param)


def container_of(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    [container] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_every_manifest_is_what_the_schema_of_its_kind_says(
    manifests: dict[str, dict[str, Any]],
) -> None:
    kinds = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert set(manifests) == kinds | {"NetworkPolicy"}
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_everything_chooses_the_pods_of_the_deployment(
    manifests: dict[str, dict[str, Any]],
) -> None:
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "pneumoscope"}
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels


def test_the_pod_may_do_nothing_that_it_need_not(manifests: dict[str, dict[str, Any]]) -> None:
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    may = container_of(manifests)["securityContext"]
    assert may["readOnlyRootFilesystem"] is True
    assert may["allowPrivilegeEscalation"] is False
    assert may["capabilities"]["drop"] == ["ALL"]
    assert manifests["NetworkPolicy"]["spec"]["egress"] == []


def test_the_pod_is_asked_what_the_service_answers_and_has_the_time_that_a_stop_takes(
    manifests: dict[str, dict[str, Any]],
) -> None:
    container = container_of(manifests)
    assert container["startupProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    before_stop, stop = 5, 35
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= before_stop + stop


def test_prometheus_may_reach_the_metric_by_which_the_service_scales(
    manifests: dict[str, dict[str, Any]],
) -> None:
    [rule] = manifests["NetworkPolicy"]["spec"]["ingress"]
    admitted = [each["namespaceSelector"]["matchLabels"] for each in rule["from"]]
    assert {"kubernetes.io/metadata.name": "monitoring"} in admitted
    [metric] = manifests["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert f"# TYPE {metric['pods']['metric']['name']} gauge" in Metrics().exposition().decode()


def test_the_nodes_of_ray_are_pods_that_may_do_nothing_they_need_not() -> None:
    service, policy = (
        yaml.safe_load((KUBERNETES / "ray" / name).read_text())
        for name in ("rayservice.yaml", "network.yaml")
    )
    kubernetes_validate.validate(policy, VERSION, strict=True)
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        template = group["template"]
        # The custom resource has no schema here; its pods have.
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "ray"}}
        kubernetes_validate.validate(pod | {"template": template}, VERSION, strict=True)
        assert template["metadata"]["labels"] == policy["spec"]["podSelector"]["matchLabels"]
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        [container] = template["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    beyond = [rule for rule in policy["spec"]["ingress"] if "ports" in rule]
    assert [[each["port"] for each in rule["ports"]] for rule in beyond] == [[8000], [8265, 8000]]


def test_a_pod_on_a_gpu_has_one_and_starts_on_nothing_else() -> None:
    manifests = build("overlays/gpu")
    container = container_of(manifests)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "PNEUMO_PROVIDER", "value": "cuda"} in container["env"]
    assert container["image"] == "pneumoscope:gpu"
    assert container_of(build("base"))["image"] == "pneumoscope:cpu"

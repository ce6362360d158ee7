"""A canary beside the service: two instances that share nothing but their namespace and their clients.

Rendered by kustomize itself from overlays/canary-example. The HTTPRoute is checked against the Gateway API's own
definition, which an npm package has compiled; no gateway runs here.
"""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.manifests import CANARY, MODULES, OVERLAY, Manifest, need, parse, render
from tests.deploy.test_kubernetes import LABELS, VERSIONS

pytestmark = pytest.mark.slow

STABLE, OTHER = "plan-recommender", "plan-recommender-canary"
OF_BOTH = ("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service")
ROUTE_FIELDS = {"parentRefs", "hostnames", "rules"}
BACKEND_FIELDS = {"name", "port", "weight"}
"""Those used here; the compiled definition lets unknown fields pass."""

Fault = Callable[[Manifest], Any]


@pytest.fixture(scope="session")
def canary() -> list[Manifest]:
    return render(CANARY)


def of(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The only manifest of a kind with a name, without the digest that the name of a ConfigMap has."""
    (found,) = (
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and re.sub(r"-[a-z0-9]{10}$", "", manifest["metadata"]["name"]) == name
    )
    return found


def selectors(manifests: list[Manifest]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Kind, name and labels of everything that selects pods, or a Service by its labels."""
    for manifest in manifests:
        kind, name, spec = manifest["kind"], manifest["metadata"]["name"], manifest.get("spec", {})
        if kind == "Deployment":
            yield kind, name, spec["selector"]["matchLabels"]
            for spread in spec["template"]["spec"]["topologySpreadConstraints"]:
                yield "spread", name, spread["labelSelector"]["matchLabels"]
        elif kind == "Service":
            yield kind, name, spec["selector"]
        elif kind in ("PodDisruptionBudget", "ServiceMonitor"):
            yield kind, name, spec["selector"]["matchLabels"]
        elif kind == "NetworkPolicy":
            yield kind, name, spec["podSelector"]["matchLabels"]


def collisions(manifests: list[Manifest]) -> list[tuple[str, str, str]]:
    """Each selector that does not select what is of its own instance, and each that selects what is of the other."""
    pods = {
        name: of(manifests, "Deployment", name)["spec"]["template"]["metadata"]["labels"] for name in (STABLE, OTHER)
    }
    services = {name: of(manifests, "Service", name)["metadata"]["labels"] for name in (STABLE, OTHER)}
    found = []
    for kind, name, labels in selectors(manifests):
        for instance, of_instance in (services if kind == "ServiceMonitor" else pods).items():
            if (labels.items() <= of_instance.items()) != (instance == name):
                found.append((kind, name, instance))
    return found


def test_no_selector_of_one_instance_touches_the_other(canary: list[Manifest]) -> None:
    assert len(list(selectors(canary))) == 2 * len(
        ("Deployment", "spread", "spread", "Service", "PodDisruptionBudget", "ServiceMonitor", "NetworkPolicy")
    )
    assert collisions(canary) == []


@pytest.mark.parametrize("kind", ["pods", "Service", "NetworkPolicy"])
def test_a_selector_that_collides_would_be_noticed(canary: list[Manifest], kind: str) -> None:
    """The control: a canary with other names alone, as `nameSuffix` makes it, would take requests of the stable one."""
    wrong = copy.deepcopy(canary)
    labels: dict[str, str] = {
        "pods": of(wrong, "Deployment", OTHER)["spec"]["template"]["metadata"]["labels"],
        "Service": of(wrong, "Service", OTHER)["spec"]["selector"],
        "NetworkPolicy": of(wrong, "NetworkPolicy", OTHER)["spec"]["podSelector"]["matchLabels"],
    }[kind]
    labels["app.kubernetes.io/instance"] = STABLE
    assert collisions(wrong)


def test_nothing_is_there_twice_and_the_first_instance_is_as_without_a_canary(canary: list[Manifest]) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in canary]
    assert len(set(names)) == len(names)
    alone = render(OVERLAY)
    assert [manifest for manifest in canary if manifest in alone] == sorted(alone, key=canary.index)


def test_the_canary_differs_in_names_image_and_replicas_only(canary: list[Manifest]) -> None:
    for kind in OF_BOTH:
        first, second = (of(canary, kind, name) for name in (STABLE, OTHER))
        expected = copy.deepcopy(first)
        if kind == "Deployment":
            (mine,), (theirs,) = (each["spec"]["template"]["spec"]["containers"] for each in (expected, second))
            assert mine["image"].partition(":")[0] == theirs["image"].partition(":")[0]
            assert mine["image"] != theirs["image"]
            mine["image"] = theirs["image"]
        if kind == "HorizontalPodAutoscaler":
            expected["spec"]["minReplicas"] = 1
        assert _without_instance(second) == _without_instance(expected), kind


def test_every_manifest_is_what_the_published_schema_says_and_has_the_labels(canary: list[Manifest]) -> None:
    for manifest in canary:
        if manifest["kind"] not in ("ServiceMonitor", "HTTPRoute"):
            for version in VERSIONS:
                assert kubernetes_validate.validate(manifest, version, strict=True) == version
        labels = manifest["metadata"]["labels"]
        assert {name for name in LABELS if labels.get(f"app.kubernetes.io/{name}")} == set(LABELS)
        assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == STABLE


def test_kubectl_renders_the_same_and_warns_of_nothing(canary: list[Manifest]) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("LEFT OUT: no kubectl to compare with")
    newer = subprocess.run(["kubectl", "kustomize", CANARY], capture_output=True, text=True, check=True)
    assert newer.stderr == ""
    key = json.dumps
    assert sorted(parse(newer.stdout), key=key) == sorted(canary, key=key)


def test_the_route_weighs_the_two_services(canary: list[Manifest]) -> None:
    route = of(canary, "HTTPRoute", STABLE)
    assert _complaint_of_the_gateway_api(route) == ""
    assert set(route["spec"]) == ROUTE_FIELDS
    (rule,) = route["spec"]["rules"]
    assert [backend["name"] for backend in rule["backendRefs"]] == [STABLE, OTHER]
    assert [backend["weight"] for backend in rule["backendRefs"]] == [95, 5]
    for backend in rule["backendRefs"]:
        assert set(backend) == BACKEND_FIELDS
        (port,) = of(canary, "Service", backend["name"])["spec"]["ports"]
        assert port["port"] == backend["port"]


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (lambda it: _backend(it).update(weight="5"), "weight must be integer"),
        (lambda it: _backend(it).update(weight=-1), "weight must be >= 0"),
        (lambda it: _backend(it).pop("name"), "must have required property 'name'"),
        (lambda it: _backend(it).update(port=0), "port must be >= 1"),
        (lambda it: it["spec"].update(hostnames=["plans example"]), "hostnames/0 must match pattern"),
    ],
)
def test_a_wrong_route_is_refused(canary: list[Manifest], fault: Fault, complaint: str) -> None:
    wrong = copy.deepcopy(of(canary, "HTTPRoute", STABLE))
    fault(wrong)
    assert complaint in _complaint_of_the_gateway_api(wrong)


def _backend(route: Manifest) -> Manifest:
    backend: Manifest = route["spec"]["rules"][0]["backendRefs"][1]
    return backend


def _without_instance(manifest: Manifest) -> Manifest:
    """The manifest with the names of the first instance; that of a ConfigMap is without the digest of its data."""
    text = json.dumps(manifest).replace(OTHER, STABLE)
    renamed: Manifest = json.loads(re.sub(rf"{STABLE}-[a-z0-9]{{10}}\"", f'{STABLE}"', text))
    return renamed


def _complaint_of_the_gateway_api(route: Manifest) -> str:
    """What the Gateway API's definition, compiled in an npm package, says against it; "" is nothing."""
    need(MODULES / "@kubernetes-models" / "gateway-api")
    script = """
        const { HTTPRoute } = require("@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1");
        const { apiVersion, kind, ...route } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
        if (apiVersion !== HTTPRoute.apiVersion || kind !== HTTPRoute.kind) throw new Error(kind);
        try { new HTTPRoute(route).validate(); } catch (error) { process.stdout.write(error.message); }
    """
    done = subprocess.run(
        ["node", "--eval", script], input=json.dumps(route), cwd=MODULES.parent, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout

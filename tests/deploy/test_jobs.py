"""The CronJobs are valid, keep to what they need, and are not mistaken for the service."""

import copy
from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.manifests import RETRAINING, Manifest, cron_jobs, one, quantity, render
from tests.deploy.test_kubernetes import LABELS, VERSIONS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return render(RETRAINING)


@pytest.fixture(scope="module")
def jobs(manifests: list[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == "CronJob"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_what_the_published_schema_says(manifests: list[Manifest], version: str) -> None:
    known = [manifest for manifest in manifests if manifest["kind"] != "ServiceMonitor"]
    assert [manifest["kind"] for manifest in known].count("CronJob") == 2
    for manifest in known:
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (lambda spec: spec.update(schedul="* * * * *"), "'schedul' was unexpected"),
        (lambda spec: spec.pop("schedule"), "'schedule' is a required property"),
        (lambda spec: spec["jobTemplate"]["spec"].update(backoffLimit="0"), "'0' is not of type 'integer'"),
    ],
)
def test_a_wrong_cron_job_is_refused(jobs: list[Manifest], fault: Callable[[Any], object], complaint: str) -> None:
    wrong = copy.deepcopy(jobs[0])
    fault(wrong["spec"])
    with pytest.raises(kubernetes_validate.ValidationError, match=complaint):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_one_runs_at_a_time_and_a_refusal_is_not_repeated(jobs: list[Manifest]) -> None:
    for job in jobs:
        assert job["spec"]["concurrencyPolicy"] == "Forbid"
        assert job["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
        assert job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        assert job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] <= 3600


def test_the_pods_pass_the_restricted_pod_security_standard(manifests: list[Manifest]) -> None:
    for pod in cron_jobs(manifests).values():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1034
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False


def test_the_data_cannot_be_written_and_requests_are_within_limits(manifests: list[Manifest]) -> None:
    for pod in cron_jobs(manifests).values():
        (container,) = pod["containers"]
        assert {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]} == {
            "/models": False,
            "/data": True,
            "/tmp": False,  # noqa: S108  # a path in the container
        }
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        for name, requested in container["resources"]["requests"].items():
            assert 0 < quantity(requested) <= quantity(container["resources"]["limits"][name])


def test_the_claims_are_there(manifests: list[Manifest]) -> None:
    claims = {manifest["metadata"]["name"] for manifest in manifests if manifest["kind"] == "PersistentVolumeClaim"}
    for pod in cron_jobs(manifests).values():
        named = [it["persistentVolumeClaim"]["claimName"] for it in pod["volumes"] if "persistentVolumeClaim" in it]
        assert {*named} == claims


def test_no_request_for_the_service_goes_to_a_job_and_a_job_asks_nobody(
    manifests: list[Manifest], jobs: list[Manifest]
) -> None:
    policies = [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    (of_jobs,) = (policy for policy in policies if policy["metadata"]["name"] == "plan-recommender-jobs")
    assert of_jobs["spec"]["ingress"] == of_jobs["spec"]["egress"] == []
    selected = of_jobs["spec"]["podSelector"]["matchLabels"]
    for job in jobs:
        labels = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        assert selected.items() <= labels.items()
        for other in [one(manifests, "Service")["spec"]["selector"]]:
            assert not other.items() <= labels.items()


def test_every_object_and_pod_has_the_recommended_labels_and_the_namespace(
    manifests: list[Manifest], jobs: list[Manifest]
) -> None:
    pods = [job["spec"]["jobTemplate"]["spec"]["template"] for job in jobs]
    for labelled in [*manifests, *pods]:
        labels = labelled["metadata"]["labels"]
        assert {name for name in LABELS if labels.get(f"app.kubernetes.io/{name}")} == set(LABELS), labelled
    namespaces = {it["metadata"].get("namespace") for it in manifests if it["kind"] != "Namespace"}
    assert namespaces == {one(manifests, "Namespace")["metadata"]["name"]}

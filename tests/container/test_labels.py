"""What the image says of itself: the OCI's labels, the model in it, and a tag that names model and commit."""

import json
from datetime import datetime

import pytest

from plan_recommender.model.source import short, source_commit
from plan_recommender.serving.settings import variable
from tools.container import MODEL_LABEL, ContainerError, docker, labels, running, tag_by_content

pytestmark = pytest.mark.slow

OCI = "org.opencontainers.image"


def test_its_labels_name_what_it_was_made_of(image: str, trained_tag: str) -> None:
    found = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    assert found[MODEL_LABEL] == trained_tag
    assert (found[f"{OCI}.title"], found[f"{OCI}.version"]) == tuple(image.split(":"))
    assert found.get(f"{OCI}.revision") == source_commit()
    assert datetime.fromisoformat(found[f"{OCI}.created"]).utcoffset() is not None


def test_a_tag_of_it_names_model_and_commit(image: str, trained_tag: str) -> None:
    commit = source_commit()
    tag = tag_by_content(image)
    if commit is None:
        assert tag is None
        return
    try:
        assert tag == f"{trained_tag}-{short(commit)}"
        ids = [docker("image", "inspect", "--format", "{{.Id}}", name) for name in (image, tag)]
        assert ids[0] == ids[1]
    finally:
        docker("image", "rm", str(tag))  # the tag; the image keeps its other name


def test_there_are_no_labels_without_a_bento() -> None:
    with pytest.raises(ContainerError, match="expected a Bento plan_recommender:nowhere to make an image of, which"):
        labels("plan_recommender:nowhere")


def test_a_container_that_is_told_to_serve_another_model_ends_with_one_sentence(image: str, trained_tag: str) -> None:
    with (
        pytest.raises(ContainerError, match=f"expected {trained_tag}, the only model that the Bento {image} carries"),
        running(image, env={variable("model"): "plan_recommender:another"}),
    ):
        raise AssertionError("it is ready")
    with running(image, env={variable("model"): trained_tag}) as container:  # the control
        assert "ERROR" not in container.log()

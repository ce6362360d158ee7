"""What the image says of itself: the OCI's labels, the model in it, and a tag that names model and commit."""

import json
from datetime import datetime

import pytest

from plan_recommender.model.source import short, source_commit
from plan_recommender.serving.settings import variable
from tools.container import MODEL_LABEL, REVISION_LABEL, ContainerError, docker, labels, running, tag_by_content

pytestmark = pytest.mark.slow

OCI = "org.opencontainers.image"


def labels_of(image: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    return found


def commit() -> str | None:
    """The commit of this checkout; whether files differ from it may have changed since the image was built."""
    found = source_commit()
    return None if found is None else found.partition("-")[0]


def test_its_labels_name_what_it_was_made_of(image: str, trained_tag: str) -> None:
    found = labels_of(image)
    assert found[MODEL_LABEL] == trained_tag
    assert (found[f"{OCI}.title"], found[f"{OCI}.version"]) == tuple(image.split(":"))
    assert datetime.fromisoformat(found[f"{OCI}.created"]).utcoffset() is not None
    if commit() is None:
        assert REVISION_LABEL not in found
    else:
        assert found[REVISION_LABEL].partition("-")[0] == commit()


def test_a_tag_of_it_names_model_and_commit(image: str, trained_tag: str) -> None:
    tag = tag_by_content(image)
    if commit() is None:
        assert tag is None
        return
    try:
        assert tag == f"{trained_tag}-{short(labels_of(image)[REVISION_LABEL])}"
        ids = [docker("image", "inspect", "--format", "{{.Id}}", name) for name in (image, tag)]
        assert ids[0] == ids[1]
    finally:
        docker("image", "rm", str(tag))  # the tag; the image keeps its other name


def test_there_are_no_labels_without_a_bento() -> None:
    with pytest.raises(ContainerError, match="expected a Bento plan_recommender:nowhere to make an image of, which"):
        labels("plan_recommender:nowhere")


def test_a_container_that_is_told_to_serve_another_model_ends_with_one_sentence(image: str, trained_tag: str) -> None:
    """That it serves its own model if it is told to is in tests/end_to_end/test_bento.py."""
    with (
        pytest.raises(ContainerError, match=f"expected {trained_tag}, the only model that the Bento {image} carries"),
        running(image, env={variable("model"): "plan_recommender:another"}),
    ):
        raise AssertionError("it is ready")

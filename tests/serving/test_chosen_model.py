"""PLAN_RECOMMENDER_MODEL: which of the registered models a service from source serves; test_bento.py has the Bento."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from loadtest.trials.service import wait_until
from plan_recommender.errors import ConfigError
from plan_recommender.model import store as model_store
from plan_recommender.model.record import MODEL_NAME
from plan_recommender.serving.settings import Environment, variable
from tests.conftest import using
from tests.serving.test_settings import failed_start
from tools import promote
from tools.server import Server, free_port, serving

CHAMPION = {variable("model"): model_store.CHAMPION}


@pytest.fixture
def home(tmp_path: Path, copy_store: Callable[[Path], Path]) -> Iterator[Path]:
    """A BENTOML_HOME with the trained model, and a copy of it with the version `newer`, which is the latest."""
    trained = copy_store(tmp_path / "home")
    newer = trained.with_name("newer")
    shutil.copytree(trained, newer)
    (newer / "model.yaml").write_text((newer / "model.yaml").read_text().replace(trained.name, "newer"))
    (newer.parent / "latest").write_text("newer")
    with using(tmp_path / "home"):
        yield tmp_path / "home"


def model_of(server: Server) -> str:
    model: str = httpx.get(f"{server.url}/health", timeout=10).json()["model"]
    return model


@pytest.mark.slow
def test_the_named_model_is_served_and_without_a_name_the_latest(home: Path, trained_tag: str) -> None:
    env = {"BENTOML_HOME": str(home)}
    with serving(env=env) as unnamed, serving(env=env | {variable("model"): trained_tag}) as named:
        assert (model_of(unnamed), model_of(named)) == (f"{MODEL_NAME}:newer", trained_tag)


@pytest.mark.slow
def test_the_champion_is_served_until_another_is_chosen_and_the_service_renewed(home: Path, trained_tag: str) -> None:
    assert promote.main([trained_tag]) == 0
    with serving(env={"BENTOML_HOME": str(home)} | CHAMPION) as server:
        assert model_of(server) == trained_tag
        assert promote.main([f"{MODEL_NAME}:newer"]) == 0
        assert model_of(server) == trained_tag  # a running service keeps its model until it is told
        server.process.send_signal(signal.SIGHUP)
        newer = f"{MODEL_NAME}:newer"
        wait_until(lambda: {model_of(server) for _ in range(10)} == {newer}, 40)  # of several workers one is the last
        assert model_of(server) == newer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        ("plan_recommender:nowhere", "expected the model plan_recommender:nowhere in the BentoML model store"),
        ("another:newer", "PLAN_RECOMMENDER_MODEL: Value error, expected a model tag plan_recommender:<version>"),
    ],
)
def test_a_model_that_cannot_be_served_stops_the_start_with_one_sentence(home: Path, tag: str, sentence: str) -> None:
    said = failed_start(free_port(), **{"BENTOML_HOME": str(home), variable("model"): tag})
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("tag", ["newer", "another:newer", "plan_recommender:", "plan_recommender:a b", "x:latest"])
def test_what_is_no_tag_of_this_model_is_refused(tag: str) -> None:
    with pytest.raises(ConfigError, match="expected a model tag plan_recommender:<version>"):
        Environment.read({variable("model"): tag})


def test_an_empty_variable_is_an_unset_one() -> None:
    assert Environment.read({variable("model"): ""}).model is None
    assert Environment.read({variable("model"): "plan_recommender:newer"}).model == "plan_recommender:newer"

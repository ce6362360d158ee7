"""What the model tests share: commands run as the shell runs them, a store of a test's own, a quick configuration."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bentoml
import numpy as np
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from sklearn.pipeline import Pipeline

from plan_recommender import cli
from plan_recommender.data.synthesis import generate
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel, find
from tests.conftest import TrainedModel
from tools.server import ROOT

Main = Callable[[list[str]], int]


QUICK = """
data: {{path: {data}, min_rows: 1}}
selection: {{candidates: [majority_rule, logistic_regression, boosted_trees], folds: 2, repeats: 1}}
gate: {{max_ece: 0.2, margin: 0.2}}
money: {{bootstrap_samples: 100}}
proof: {{rows: 500}}
"""


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run a command's main as `python command.py` does, in this process."""
    handler = signal.getsignal(signal.SIGTERM)

    def execute(main: Main, *arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.run(lambda: main([str(argument) for argument in arguments]))
        assert isinstance(caught.value.code, int)
        return Answer(caught.value.code, *capsys.readouterr())

    yield execute
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """An empty model store that this process uses until the test ends; returns its folder of models."""
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    BentoMLContainer.model_store.set(ModelStore(models))
    yield models
    BentoMLContainer.model_store.reset()


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """One strong candidate, few folds, a short proof, a gate that small and odd tables pass."""
    path = tmp_path / "config.yaml"
    path.write_text(QUICK.format(data=ROOT / "users_behavior.csv"), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def model(trained: TrainedModel) -> RegisteredModel:
    return find(trained.tag)


@pytest.fixture(scope="session")
def scorer(model: RegisteredModel) -> Scorer:
    return model.scorer()


@pytest.fixture(scope="session")
def pipeline(trained: TrainedModel) -> Pipeline:
    return bentoml.sklearn.load_model(trained.tag)


@pytest.fixture(scope="session")
def subscribers() -> FeatureMatrix:
    """20,000 generated rows that no test trains on."""
    return np.concatenate([chunk.features for chunk in generate(20_000, seed=99)])

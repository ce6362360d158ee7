"""The BentoML service: `bentoml serve service:PlanRecommender`.

The methods of the class are what answers over HTTP: serving/routes.py says which method answers which path, and
serving/app.py puts together the application that calls them.
"""

import gc
import os
from typing import Any, cast

import bentoml
from bentoml.exceptions import BentoMLException

from plan_recommender.billing.registered import adviser_of
from plan_recommender.billing.tariffs import Tariffs, load_tariffs, shipped_tariffs
from plan_recommender.errors import ConfigError, PlanRecommenderError
from plan_recommender.model import bento_model, signatures, source, store
from plan_recommender.model.features import CustomerUsage
from plan_recommender.model.record import MODEL_NAME
from plan_recommender.serving import drift_watch, logs, metrics_folder
from plan_recommender.serving.app import ContractService
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.image import image
from plan_recommender.serving.inference_metadata import (
    MODEL_PATH,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from plan_recommender.serving.inference_protocol import InferenceRequest, InferenceResponse
from plan_recommender.serving.kept import Kept
from plan_recommender.serving.language import LANGUAGE
from plan_recommender.serving.patches import expected, start_failures
from plan_recommender.serving.recommender import Recommender
from plan_recommender.serving.schemas import (
    AdviceAnswer,
    AdviceRequest,
    BatchRecommendation,
    Explanation,
    Health,
    ModelDescription,
    Recommendation,
    UsageBatch,
)
from plan_recommender.serving.settings import Environment, variable
from plan_recommender.serving.shadow import Shadow


def _environment() -> Environment:
    """Read the environment, with the model's tag as BentoML knows it, and set up the log by it.

    A bad one stops the start with one sentence.
    """
    start_failures.fail_as_asked()
    try:
        Authentication.from_environment()
        environment = Environment.read()
        signatures.require(environment.verify_key)
        environment = environment.model_copy(update={"model": store.resolved(environment.model or store.LATEST)})
    except PlanRecommenderError as error:
        raise BentoMLException(str(error)) from error
    logs.configure(environment)
    if logs.is_server():
        metrics_folder.prepare()
    return environment


_ENVIRONMENT = _environment()


@bentoml.service(name="plan_recommender", service_class=ContractService, workers=_ENVIRONMENT.workers, image=image())
class PlanRecommender:
    """Recommends a mobile plan, Ultra or Smart, from one month of a subscriber's usage."""

    model = bento_model.ServedModel(_ENVIRONMENT.model or store.LATEST)  # an attribute, or the Bento would not carry it

    def __init__(self) -> None:
        try:
            self.recommender = Recommender(_model(), _tariffs(), _origin(), Shadow.of(Environment.read()))
        except (PlanRecommenderError, BentoMLException) as error:  # the model was good when the service was started
            logs.end_worker(error)
            raise

    @bentoml.on_deployment
    @staticmethod
    def before_workers_start() -> None:
        """Check what the service needs, so that what is wrong stops the start with one sentence."""
        try:
            expected.check()
            model = _model()
            model.document()
            tariffs, environment = _tariffs(), Environment.read()
            adviser_of(model, tariffs)
            Shadow.of(environment)
        except PlanRecommenderError as error:
            raise BentoMLException(str(error)) from error
        from plan_recommender.serving.patches import supervisor  # after the check; and workers have no use for it

        supervisor.patch(environment.drain_seconds)
        gc.freeze()  # all that is there is needed until the end, when Python would look through it once more
        drift_watch.prepare()
        source.hand_on()
        os.environ.pop("BENTOML_CONTAINERIZED", None)  # with it, BentoML does not replace a worker that was killed
        authentication = Authentication.from_environment()
        logs.say_what_starts(
            _origin(),
            model.tag,
            tariffs,
            environment.workers,
            needs_key=bool(authentication.authorizations),
            verifies=environment.verify_key is not None,
        )
        authentication.warn_if_open()

    @bentoml.api
    def predict(self, usage: CustomerUsage, /) -> Recommendation:
        """Recommend a plan for one subscriber."""
        return self.recommender.recommend(usage)

    @bentoml.api
    def predict_batch(self, batch: UsageBatch, /) -> BatchRecommendation:
        """Recommend a plan for up to 10,000 subscribers, in the order sent."""
        return self.recommender.recommend_batch(batch)

    @bentoml.api
    def advise(self, request: AdviceRequest, /) -> AdviceAnswer:
        """Bill the last month of one subscriber on every plan, forecast the next one, and advise."""
        return self.recommender.advise(request, LANGUAGE.get())

    @bentoml.api
    def explain(self, usage: CustomerUsage, /) -> Explanation:
        """Recommend a plan for one subscriber, and say how much each feature contributed."""
        return self.recommender.explain(usage, LANGUAGE.get())

    @bentoml.api(route=f"{MODEL_PATH}/infer")
    def infer(self, request: InferenceRequest, /) -> InferenceResponse:
        """Recommend a plan for up to 10,000 subscribers, by the Open Inference Protocol."""
        return self.recommender.infer(request)

    @bentoml.api(route="/invocations")
    def invocations(self, batch: UsageBatch, /) -> BatchRecommendation:
        """Recommend a plan for up to 10,000 subscribers, at the path that SageMaker calls."""
        return self.recommender.recommend_batch(batch)

    def health(self) -> Health:
        """Ask the model, and tell whether it answers as it did when it was loaded."""
        return self.recommender.health()

    def about(self) -> ModelDescription:
        """Tell what was stored with the model when it was registered."""
        return self.recommender.about()

    def document(self) -> Kept:
        """Give the model's document, in the bytes that were registered."""
        return self.recommender.document

    def habits(self) -> Kept:
        """Give the profile of habits and the policy of advice that were registered with the model."""
        return self.recommender.habits

    def tariffs(self) -> Kept:
        """Give the tariffs in force."""
        return self.recommender.tariffs_in_force

    def server_live(self) -> ServerLive:
        """Tell, by answering, that the process runs."""
        return ServerLive(live=True)

    def server_ready(self) -> ServerReady:
        """Tell whether the model can answer."""
        return ServerReady(ready=self.recommender.health().status == "ok", live=True)

    def model_ready(self) -> ModelReady:
        """Tell whether the model can answer."""
        return ModelReady(ready=self.recommender.health().status == "ok", name=MODEL_NAME)

    def server_metadata(self) -> ServerMetadata:
        """Tell which server this is."""
        version = "from source" if _SERVICE.bento is None else str(_SERVICE.bento.tag.version)
        return ServerMetadata(name=MODEL_NAME, version=version, extensions=[])

    def model_metadata(self) -> ModelMetadata:
        """Tell what the model takes and gives."""
        return self.recommender.model_metadata()

    def __is_ready__(self) -> bool:
        """Tell BentoML's /readyz whether the model can answer."""
        return self.health().status == "ok"


_SERVICE = cast(Any, PlanRecommender)  # the decorator makes the class a bentoml.Service, which its types do not say


def _tariffs() -> Tariffs:
    """Read the tariffs in force.

    Raises:
        ConfigError: they cannot be read, or are not what they may be.
    """
    return load_tariffs(Environment.read().tariffs or shipped_tariffs())


def _origin() -> source.Origin:
    """Tell what this service is made of."""
    bento = _SERVICE.bento
    if bento is None:
        return source.Origin(commit=source.handed_on())
    commits = [(model.metadata or {}).get(bento_model.SOURCE_COMMIT) for model in bento.info.all_models]
    return source.Origin(str(bento.tag), commits[0] or None if commits else None)


def _model() -> store.RegisteredModel:
    """Find the model that the Bento was built with; from source, the one that the environment names, or the latest.

    BentoML by itself would look `:latest` up when the Bento starts, and serve whatever was trained since the build.

    Raises:
        ConfigError: the environment names another model than the Bento carries.
        ModelError: the model is not in the store, or was altered.
    """
    wanted, bento = Environment.read().model, _SERVICE.bento
    built_with = [] if bento is None else bento.info.all_models
    if not built_with:
        return store.find(wanted or store.LATEST)
    model = bento_model.of_bento(str(built_with[0].tag), built_with[0].metadata or {})
    if wanted not in (None, model.tag):
        raise ConfigError(
            f"environment variable {variable('model')}: expected {model.tag}, the only model that the Bento "
            f"{bento.tag} carries, found {wanted!r}; unset it, or build a Bento of that model, "
            f"`{variable('model')}={wanted} bentoml build`"
        )
    return model

"""MLServer with the pipeline: a runtime that `mlserver start` loads, with an endpoint for our requests."""

from mlserver import MLModel
from mlserver.handlers import custom_handler

from benchmark.peers.model import Assignment, PipelineModel
from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving.schemas import Recommendation


class PlanRuntime(MLModel):
    """Answers with the pipeline in MLServer's process."""

    async def load(self) -> bool:
        """Load the pipeline."""
        self._model = PipelineModel(Assignment.from_environment())
        return True

    @custom_handler(rest_path="/predict")
    async def recommend(self, usage: CustomerUsage) -> Recommendation:
        """Recommend a plan for one subscriber."""
        return self._model.recommend(usage)

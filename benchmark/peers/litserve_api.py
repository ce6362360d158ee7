"""LitServe with the pipeline: `python -m benchmark.peers.litserve_api PORT`."""

import sys

import litserve

from benchmark.peers.model import Assignment, PipelineModel
from plan_recommender.model.features import CustomerUsage
from plan_recommender.serving.schemas import Recommendation


class PlanApi(litserve.LitAPI):
    """Answers with the pipeline in LitServe's worker process."""

    def setup(self, device: str) -> None:
        """Load the pipeline."""
        self._model = PipelineModel(Assignment.from_environment())

    def decode_request(self, request: CustomerUsage) -> CustomerUsage:
        """Tell LitServe what a request looks like."""
        return request

    def predict(self, usage: CustomerUsage) -> Recommendation:
        """Recommend a plan for one subscriber."""
        return self._model.recommend(usage)

    def encode_response(self, output: Recommendation) -> Recommendation:
        """Send the recommendation unchanged."""
        return output


if __name__ == "__main__":
    litserve.LitServer(PlanApi(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False
    )

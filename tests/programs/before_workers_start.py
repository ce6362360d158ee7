"""Does what `bentoml serve` does before it starts the workers, with each of several stores: HOME...

Prints, as a JSON list, the sentence with which each start would end; nothing for those that would go on.
"""

import json
import sys
from pathlib import Path
from typing import Any, cast

from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from bentoml.exceptions import BentoMLException

from service import PlanRecommender

if __name__ == "__main__":
    service = cast(Any, PlanRecommender)  # it is a bentoml.Service, which its types do not say
    sentences = []
    for home in sys.argv[1:]:
        BentoMLContainer.model_store.set(ModelStore(Path(home) / "models"))
        try:
            service.inner.before_workers_start()
        except BentoMLException as error:
            sentences.append(str(error))
        else:
            sentences.append("")
    print(json.dumps(sentences))

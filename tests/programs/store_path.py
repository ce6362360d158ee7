"""Say where the store is: by the rule of the store module, whether BentoML was imported for it, and by BentoML."""

import sys
from unittest import mock

from plan_recommender.model import store

print(store.store_path())
print("bentoml" in sys.modules)

from bentoml._internal.configuration.containers import BentoMLContainer

with mock.patch("bentoml._internal.configuration.containers.validate_or_create_dir"):  # no folder is made
    print(BentoMLContainer.model_store_dir.get())

"""What the service and the command lines share: features, configuration, training, scoring, registry and drift."""

import os

# BentoML posts usage statistics to its makers, unless it is told not to before it is imported.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

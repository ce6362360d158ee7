"""What the service and the command lines share: features, configuration, training, scoring, registry and drift."""

import os

# BentoML and ONNX Runtime post usage statistics to their makers, unless they are told not to before they are imported.
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

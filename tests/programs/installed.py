"""Prints the installed distributions and their versions, as JSON. Its text is run inside a container."""

import importlib.metadata
import json

print(json.dumps({found.name: found.version for found in importlib.metadata.distributions()}))

"""Asks a service with BentoML's own client, and prints the model that answered: URL KEY."""

import sys

import bentoml

from tests.serving.corpus import GOOD

if __name__ == "__main__":
    with bentoml.SyncHTTPClient(sys.argv[1], token=sys.argv[2]) as client:
        print(client.predict(GOOD)["model"])

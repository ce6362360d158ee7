"""Ask a running service with BentoML's own client: `python examples/client.py [URL]`."""

import sys

import bentoml

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000"

with bentoml.SyncHTTPClient(URL) as client:
    usage = {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96}
    answer = client.predict(usage)
    print(answer["recommended_plan"], round(answer["probability_is_ultra"], 3))

    light = {"calls": 4, "minutes": 21.5, "messages": 0, "mb_used": 1200.0}
    batch = client.predict_batch({"rows": [usage, light]})
    print([decision["recommended_plan"] for decision in batch["predictions"]])

    months = [{"month": "2026-09", **light}, {"month": "2026-10", **light}]
    advice = client.advise({"plan": "Ultra", "months": months})
    print(advice["advice"], advice["advised_plan"], advice["expected_saving"], advice["currency"])

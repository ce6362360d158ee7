"""`make demo`: train, start the real service, ask it over HTTP as a client would, show the answers, stop it.

usage: python -m tools.demo
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.demo")

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import httpx

from tools.server import ROOT, ServerDidNotStartError, serving

SUBSCRIBERS = {
    "a heavy data user": {"calls": 85, "minutes": 516.7, "messages": 56, "mb_used": 22696.96},
    "an average month": {"calls": 60, "minutes": 420.0, "messages": 30, "mb_used": 16500.0},
    "hardly uses the phone": {"calls": 4, "minutes": 21.5, "messages": 0, "mb_used": 1200.0},
    "talks and writes a lot": {"calls": 150, "minutes": 1050.0, "messages": 120, "mb_used": 9000.0},
}

MONTHS: dict[str, dict[str, Any]] = {
    "pays for more than she uses": {
        "plan": "Ultra",
        "months": [
            {"month": "2026-08", "calls": 41, "minutes": 260.3, "messages": 12, "mb_used": 9_870.0},
            {"month": "2026-09", "calls": 37, "minutes": 244.8, "messages": 9, "mb_used": 11_240.5},
            {"month": "2026-10", "calls": 44, "minutes": 281.1, "messages": 15, "mb_used": 10_512.2},
        ],
    },
    "uses more than his plan includes": {
        "plan": "Smart",
        "months": [
            {"month": "2026-09", "calls": 91, "minutes": 603.4, "messages": 61, "mb_used": 26_110.5},
            {"month": "2026-10", "calls": 85, "minutes": 566.7, "messages": 56, "mb_used": 27_696.9},
        ],
    },
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo; exits with 1 and one sentence if the service does not start or does not answer as expected."""
    argparse.ArgumentParser(
        prog="python -m tools.demo",
        description="Train and register a model, start the service, ask it over HTTP, show the answers, and stop it.",
    ).parse_args(arguments)
    print("== train and register a model", flush=True)
    subprocess.run([sys.executable, "train.py"], cwd=ROOT, check=True)
    print("\n== start the service", flush=True)
    try:
        with serving() as server, httpx.Client(base_url=server.url, timeout=10) as client:
            show_answers(client)
    except ServerDidNotStartError as error:
        sys.exit(f"error: {error}")
    print("\nstopped; `make serve` starts it again, README.md shows the rest")
    print("then http://127.0.0.1:3000/app is the what-if page: any subscriber with sliders, reasons and bills")


def show_answers(client: httpx.Client) -> None:
    """Ask the service what the demo asks, and print its answers; an unexpected one exits with 1 and one sentence."""
    print(f"listening on {client.base_url}, model {_expect(client.get('/health'), 200)['model']}")
    print("\n== POST /predict, one request a subscriber")
    for who, usage in SUBSCRIBERS.items():
        print(f"{who:<24} {_sentence(_expect(client.post('/predict', json=usage), 200))}")
    print("\n== POST /predict_batch, the same four in one request")
    batch = _expect(client.post("/predict_batch", json={"rows": list(SUBSCRIBERS.values())}), 200)
    for who, decision in zip(SUBSCRIBERS, batch["predictions"], strict=True):
        print(f"{who:<24} {_sentence(decision)}")
    print("\n== POST /explain: why that plan for the first of them?")
    explanation = _expect(client.post("/explain", json=SUBSCRIBERS["a heavy data user"]), 200)
    for contribution in explanation["contributions"]:
        print(contribution["sentence"])
    print("\n== POST /advise: which plan costs least next month?")
    for who, request in MONTHS.items():
        advice = _expect(client.post("/advise", json=request), 200)
        print(f"{who}:\n  {advice['sentence']}")
        for plan in advice["plans"]:
            bill = plan["last_bill"]
            items = [f"{_amount(bill['fee'])} fee"]
            items += [f"{_amount(bill[item])} for {item}" for item in ("minutes", "messages", "data") if bill[item]]
            total = f"{_amount(bill['total'])} {advice['currency']}"
            print(f"  last month on {plan['plan']}: {total} ({', '.join(items)})")
    print("\n== POST /predict with minutes = -1, which nobody can have used")
    refused = _expect(client.post("/predict", json=SUBSCRIBERS["an average month"] | {"minutes": -1}), 400)
    print(f"refused with 400: {refused['error']}", flush=True)


def _amount(amount: float) -> str:
    """Write an amount as the sentences of advice do, with decimals only where it has some."""
    return f"{amount:,.2f}".removesuffix(".00")


def _expect(response: httpx.Response, status: int) -> dict[str, Any]:
    if response.status_code != status:
        sys.exit(f"error: expected {status} from {response.url}, found {response.status_code}: {response.text}")
    document: dict[str, Any] = response.json()
    return document


def _sentence(decision: dict[str, Any]) -> str:
    return f"{decision['recommended_plan']:<6} (probability of Ultra {decision['probability_is_ultra']:.0%})"

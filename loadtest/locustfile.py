"""Locust users of the plan recommender; they check the body of every answer, not only its status.

`make loadtest` starts a service and runs this. To test a service that runs already:
    locust --headless --only-summary -f loadtest/locustfile.py --host http://127.0.0.1:3000 --shape spike

--shape is steady (default), step, spike or soak; --seconds N replaces its configured length. The shape determines the
number of users. `--shape soak --server-pid PID` measures the memory and the descriptors of a server on this machine.

The run exits with 1 if the budget of the shape, in the section `loadtest` of model_config.yaml, is broken. A 503 with
Retry-After counts as a refusal, which only the spike allows; without Retry-After it is a failure.
"""

import gc
import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import psutil
from locust import FastHttpUser, constant_throughput, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from pydantic import TypeAdapter

from loadtest import shapes  # the module, because locust would use the first shape that is defined in this one
from plan_recommender import cli
from plan_recommender.config.load import load_settings
from plan_recommender.config.load_shapes import LoadtestSettings
from plan_recommender.data.synthesis import generate
from plan_recommender.errors import ConfigError
from plan_recommender.model.features import FEATURE_NAMES, PLANS
from plan_recommender.model.threshold import Threshold
from plan_recommender.serving.schemas import AdviceAnswer, BatchRecommendation, Decision, Recommendation

BATCH_ROWS = 100
REQUESTS_PER_SECOND = 20  # at most, of one application
BATCHES_PER_SECOND = 2  # at most, of one analyst
MAX_ADVISED_MONTHS = 12
TIMEOUT_SECONDS = 5.0
"""An answer that takes longer counts as a failure; users that are to stop wait this long for their last answer."""

_SINGLE = TypeAdapter(Recommendation)
_BATCH = TypeAdapter(BatchRecommendation)
_ADVICE = TypeAdapter(AdviceAnswer)


def _stop(sentence: object) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(cli.COULD_NOT_DECIDE)


try:
    SETTINGS = load_settings(Path(__file__).resolve().parents[1] / "model_config.yaml")
except ConfigError as error:
    _stop(error)

_subscribers = next(generate(5_000, SETTINGS.seed)).features.tolist()
SUBSCRIBERS = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in _subscribers]

gc.freeze()  # all of this is needed until the end, when Python would look through it once more


class _User(FastHttpUser):
    abstract = True
    network_timeout = connection_timeout = TIMEOUT_SECONDS

    about: ClassVar[dict[str, Any] | None] = None
    shares: ClassVar[Iterator[float]] = (number * 0.618 % 1 for number in itertools.count())  # evenly between 0 and 1

    def on_start(self) -> None:
        """Ask which model answers and what its thresholds are; locust calls this for every user."""
        if _User.about is None:  # once for all users, because some start during the spike
            _User.about = self.client.get("/model").json()
        self.model, segments = _User.about["model"], _User.about["segment_thresholds"]
        self.threshold = Threshold(value=_User.about["threshold"], segments=segments[0] if segments else None)
        self.subscribers = itertools.cycle(SUBSCRIBERS)
        # Users start together. Without a first pause of different length, all of them would always ask together.
        time.sleep(next(self.shares) * self.wait_time())

    def ask(
        self, path: str, body: object, check: Callable[[ResponseContextManager], str | None], name: str | None = None
    ) -> None:
        """Post one request and report it to locust; `check` says what is wrong with the answer, or gives None."""
        with self.client.post(path, json=body, catch_response=True, name=name) as response:
            if not response.status_code:
                response.failure(response.error)
                return
            if _is_refusal(response):
                response.success()
                return
            try:
                problem = check(response)
            except Exception as error:  # a malformed answer; locust would log a stack trace for each of them
                problem = f"expected an answer of {path}, found {error}"
            if problem is None:
                response.success()
            else:
                response.failure(problem)

    def check(self, rows: list[dict[str, float]], decisions: Sequence[Decision], model: str) -> str | None:
        """Say what is wrong with a model's decisions for some rows; None if each fits its probability and threshold."""
        if model != self.model:
            return f"expected an answer of {self.model}, found one of {model}"
        if len(decisions) != len(rows):
            return f"expected {len(rows)} decisions, found {len(decisions)}"
        probabilities = np.array([decision["probability_is_ultra"] for decision in decisions])
        plans = self.threshold.decide(np.array([list(row.values()) for row in rows]), probabilities).tolist()
        for decision, plan in zip(decisions, plans, strict=True):
            if (decision["prediction"], decision["recommended_plan"]) != (plan, PLANS[plan]):
                return f"expected {PLANS[plan]} at probability {decision['probability_is_ultra']}, found {decision}"
        return None

    def check_advice(self, answer: AdviceAnswer) -> str | None:
        """Say what is wrong with the advice for somebody whose plan is not known; None if it is the cheapest plan."""
        if answer["model"] != self.model:
            return f"expected an answer of {self.model}, found one of {answer['model']}"
        expected = {plan["plan"]: plan["expected"] for plan in answer["plans"]}
        cheapest = min(expected.values())
        if answer["advice"] != "choose" or expected.get(answer["advised_plan"]) != cheapest:
            return f"expected the plan of {cheapest}, found {answer['advice']} {answer['advised_plan']} of {expected}"
        for plan in answer["plans"]:
            bill = plan["last_bill"]
            total = sum(Decimal(str(bill[item])) for item in ("fee", "minutes", "messages", "data"))
            if total != Decimal(str(bill["total"])):
                return f"expected a total of {total}, found {bill}"
        return None


class Application(_User):
    """A CRM or the backend of an app: it asks for one subscriber at a time, for advice too, and is invalid at times."""

    weight = 9
    wait_time = constant_throughput(REQUESTS_PER_SECOND)

    @task(20)
    def predict(self) -> None:
        """Ask for one subscriber."""
        usage = next(self.subscribers)

        def check(response: ResponseContextManager) -> str | None:
            if response.status_code != 200:
                return f"expected 200, found {response.status_code}"
            answer = _SINGLE.validate_json(response.content, strict=True)
            return self.check([usage], [answer], answer["model"])

        self.ask("/predict", usage, check)

    @task(2)
    def advise(self) -> None:
        """Ask which plan fits the next month of one subscriber, from one to twelve months before it."""
        count = 1 + int(next(self.shares) * MAX_ADVISED_MONTHS)
        months = [{"month": f"2026-{i:02}", **usage} for i, usage in enumerate(islice(self.subscribers, count), 1)]

        def check(response: ResponseContextManager) -> str | None:
            if response.status_code != 200:
                return f"expected 200, found {response.status_code}"
            return self.check_advice(_ADVICE.validate_json(response.content, strict=True))

        self.ask("/advise", {"months": months}, check)

    @task(1)
    def predict_invalid(self) -> None:
        """Ask for usage below 0, and expect 400."""

        def check(response: ResponseContextManager) -> str | None:
            if response.status_code == 400 and response.json()["detail"][0]["loc"] == ["minutes"]:
                return None
            return f"expected 400 for minutes, found {response.status_code}"

        self.ask("/predict", next(self.subscribers) | {"minutes": -1}, check, name="/predict (invalid)")


class CampaignAnalyst(_User):
    """A job that scores many subscribers at once."""

    weight = 1
    wait_time = constant_throughput(BATCHES_PER_SECOND)

    @task
    def predict_batch(self) -> None:
        """Ask for a hundred subscribers."""
        rows = list(islice(self.subscribers, BATCH_ROWS))

        def check(response: ResponseContextManager) -> str | None:
            if response.status_code != 200:
                return f"expected 200, found {response.status_code}"
            answer = _BATCH.validate_json(response.content, strict=True)
            return self.check(rows, answer["predictions"], answer["model"])

        self.ask("/predict_batch", {"rows": rows}, check)


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: object) -> None:
    """Add the options of this file to locust's command line."""
    names = tuple(LoadtestSettings.model_fields)
    group = parser.add_argument_group("Shapes of load")
    group.add_argument("--shape", choices=names, default=names[0], help="shape of the load (default: %(default)s)")
    group.add_argument("--seconds", type=cli.positive_int, metavar="N", help="its length; default: as configured")
    group.add_argument("--server-pid", type=cli.positive_int, metavar="PID", help="server that the soak looks at")
    # They are refused here, because workers that were started outlive their master and search for it for minutes.
    options, _ = parser.parse_known_args()
    if options.processes or options.master or options.worker:
        _stop("expected one locust process, as a shape counts what it sees; leave out --processes, --master, --worker")


@events.init.add_listener
def choose_shape(environment: Environment, **_: object) -> None:
    """Give locust the shape that was asked for, and check its budget when locust quits."""
    options = environment.parsed_options
    assert options is not None  # locust's command line has parsed them
    if options.num_users or options.spawn_rate or options.run_time:
        _stop("expected --shape and --seconds, found --users, --spawn-rate or --run-time: the shape decides on those")
    server = None
    if options.server_pid is not None:
        try:
            server = psutil.Process(options.server_pid)
            shapes.resources_of(server)
        except psutil.Error as error:
            _stop(f"--server-pid: expected a process of this user, found: {error}")
    shape = shapes.shape_of(options.shape, SETTINGS.loadtest, options.seconds, server)
    environment.shape_class = shape
    environment.stop_timeout = TIMEOUT_SECONDS + 1
    environment.events.request.add_listener(shape.count)
    environment.events.user_error.add_listener(shape.count_error)
    environment.events.quitting.add_listener(lambda **_: judge(environment, shape))


def judge(environment: Environment, shape: shapes.Shape) -> None:
    """Log the figures, and set locust's exit code: 0 if the budget was kept, otherwise 1."""
    for line in shape.describe():
        logging.info(line)
    broken = shape.broken()
    for sentence in broken:
        logging.error("budget broken: %s", sentence)
    if not broken:
        logging.info("budget kept")
    environment.process_exit_code = cli.ANSWER_IS_NO if broken else cli.DONE


def _is_refusal(response: ResponseContextManager) -> bool:
    """Whether the answer is a 503 with the seconds after which to try again."""
    if response.status_code != 503 or response.headers is None:
        return False
    return str(response.headers.get("retry-after")).isdigit()

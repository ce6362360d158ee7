"""Which requests are let in: bursts are, what lasts is not, and in a lane one step is taken in a turn."""

import asyncio
from collections.abc import Generator
from functools import partial
from itertools import pairwise
from time import perf_counter

import pytest

from plan_recommender.serving import overload
from plan_recommender.serving.limits import REFUSAL_PAUSE_SECONDS
from plan_recommender.serving.overload import Lane, Queue

MAX_WAITING = 128
BURST_SECONDS = 0.1  # as docs/operations.md says


class Worker:
    """A queue whose requests take no time, and what became of them: numbers, in the order in which they came."""

    def __init__(self) -> None:
        self.queue = Queue(MAX_WAITING)
        self.came = 0
        self.admitted = 0
        self.begun: list[int] = []
        self.refused: list[int] = []

    def ask(self, requests: int) -> int:
        """Let requests come in one turn of the event loop; gives how many were let in."""
        admitted = 0
        for _ in range(requests):
            admits = self.queue.admits()
            admitted += admits
            self.admitted += admits
            if admits:
                self.queue.enter(self.begun.append, self.came)
            else:
                self.queue.refuse_later(partial(self.refused.append, self.came))
            self.came += 1
        return admitted

    async def work_off(self, waiting: int) -> None:
        """Let turns pass until fewer wait."""
        while self.admitted - len(self.begun) >= waiting:
            await asyncio.sleep(0)

    async def calm_down(self) -> None:
        while len(self.begun) + len(self.refused) < self.came:
            await asyncio.sleep(0.001)


class Clock:
    """The queue's clock, which stands still while the test does not say otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    still = Clock()
    monkeypatch.setattr(overload, "perf_counter", still)
    return still


@pytest.mark.parametrize("idle_seconds", [0.0, 0.05, 100.0])
def test_a_burst_is_let_in_however_long_nothing_came(clock: Clock, idle_seconds: float) -> None:
    async def run() -> None:
        worker = Worker()
        assert worker.ask(1) == 1
        await worker.calm_down()
        await asyncio.sleep(0)
        clock.now += idle_seconds
        assert worker.ask(10 * MAX_WAITING) == 10 * MAX_WAITING
        await worker.calm_down()
        assert worker.begun == list(range(worker.came))

    asyncio.run(run())


def test_every_turn_begins_as_many_in_the_order_in_which_they_came(clock: Clock) -> None:
    async def run() -> None:
        worker = Worker()
        worker.ask(MAX_WAITING)
        in_turn = len(worker.begun)
        assert 0 < in_turn <= MAX_WAITING // 4, "between the turns new connections are accepted"
        for turn in range(1, MAX_WAITING // in_turn):
            assert worker.begun == list(range(turn * in_turn))
            worker.ask(1)
            await asyncio.sleep(0)
        await worker.calm_down()
        assert worker.begun == list(range(worker.came))

    asyncio.run(run())


def test_what_lasts_is_refused_and_then_half_as_many_wait_until_nobody_is_held_back(clock: Clock) -> None:
    async def run() -> None:
        worker = Worker()
        assert worker.ask(3 * MAX_WAITING) == 3 * MAX_WAITING
        clock.now += BURST_SECONDS - 0.001
        assert worker.ask(1) == 1, "it still passes for a burst"
        clock.now += 0.002
        assert worker.ask(3) == 0
        await worker.work_off(MAX_WAITING)
        assert worker.ask(1) == 0, "some are held back"
        await worker.work_off(MAX_WAITING // 2)
        assert worker.ask(1) == 1
        assert not worker.refused

        clock.now += REFUSAL_PAUSE_SECONDS
        await worker.calm_down()
        assert sorted(worker.begun + worker.refused) == list(range(worker.came))
        assert worker.begun == sorted(worker.begun)
        assert worker.refused == sorted(worker.refused)
        assert len(worker.refused) == 4
        assert worker.ask(4 * MAX_WAITING) == 4 * MAX_WAITING, "it is over"

    asyncio.run(run())


def test_a_request_that_fails_to_begin_holds_up_no_other(clock: Clock) -> None:
    async def run() -> None:
        failed: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
        worker = Worker()
        worker.ask(MAX_WAITING // 2)
        for faulty in (1, 2):
            worker.queue.enter(lambda number: divmod(number, 0), faulty)
            worker.ask(MAX_WAITING // 4)
        await worker.calm_down()
        assert worker.begun == list(range(worker.came))
        assert [type(each) for each in failed] == [ZeroDivisionError] * 2

    asyncio.run(run())


def test_as_many_as_may_wait_are_never_refused(clock: Clock) -> None:
    async def run() -> None:
        worker = Worker()
        worker.ask(MAX_WAITING)
        for _ in range(100):
            clock.now += BURST_SECONDS
            ended = len(worker.begun)
            await asyncio.sleep(0)
            again = len(worker.begun) - ended
            assert worker.ask(again) == again  # who has been answered asks again
        assert worker.came > 10 * MAX_WAITING

    asyncio.run(run())


def test_a_refused_client_that_asks_again_at_once_waits_again() -> None:
    async def run() -> None:
        queue = Queue(MAX_WAITING)
        moments: list[float] = []

        def again() -> None:
            moments.append(perf_counter())
            if len(moments) < 4:
                queue.refuse_later(again)

        start = perf_counter()
        queue.refuse_later(again)
        queue.refuse_later(lambda: None)
        while len(moments) < 4:
            await asyncio.sleep(0.001)
        assert all(after - before >= 0.8 * REFUSAL_PAUSE_SECONDS for before, after in pairwise([start, *moments]))

    asyncio.run(run())


Piece = Generator[None, None, int]


def piece(steps: int, number: int, done: list[tuple[int, int]]) -> Piece:
    """Work in some steps, each of which is noted."""
    for step in range(steps - 1):
        done.append((number, step))
        yield
    done.append((number, steps - 1))
    return number


def test_a_lane_carries_out_one_piece_after_the_other_and_one_step_a_turn() -> None:
    steps: list[tuple[int, int]] = []
    ended: list[int] = []

    async def run() -> None:
        lane = Lane(8)
        for number in range(3):
            lane.enter(piece(2, number, steps), ended.append)
        for turn in range(6):
            assert len(steps) == turn
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert steps == [(number, step) for number in range(3) for step in range(2)]
    assert ended == [0, 1, 2]


async def work_off(lane: Lane, pieces: int) -> None:
    while lane.pieces > pieces:
        await asyncio.sleep(0)


def test_a_lane_that_had_to_refuse_lets_a_quarter_as_many_wait_until_it_was_empty() -> None:
    async def run() -> None:
        lane = Lane(8)
        for _ in range(8):
            lane.enter(piece(2, 0, []), lambda _: None)
        for pieces in range(8, 1, -1):
            await work_off(lane, pieces)
            assert not lane.admits(), f"{pieces} pieces are in it"
        await work_off(lane, 1)
        assert lane.admits(), "1 piece is in it"
        await work_off(lane, 0)

        for _ in range(7):
            lane.enter(piece(2, 0, []), lambda _: None)
        assert lane.admits(), "it has been empty, and 7 pieces are in it"
        await work_off(lane, 0)

    asyncio.run(run())


def test_a_piece_that_fails_or_whose_result_finds_nobody_leaves_the_lane() -> None:
    async def run() -> None:
        failed: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
        lane, ended = Lane(8), list[int]()
        lane.enter(piece(1, 1, []), partial(divmod, 1, 0))
        lane.enter((divmod(1, 0) for _ in range(1)), ended.append)  # type: ignore[misc]  # it raises
        lane.enter(piece(1, 2, []), ended.append)
        await work_off(lane, 0)
        await asyncio.sleep(0)
        assert ended == [2]
        assert len(failed) == 2

    asyncio.run(run())

"""Which requests are let in: bursts are, what lasts is not, and in a lane one piece is carried out at a time."""

import asyncio
import threading
import time
from time import perf_counter

import pytest

from plan_recommender.admission import Lane, Queue
from plan_recommender.refusals import Refusal

MOST = 8


async def turn(queue: Queue, requests: int) -> int:
    """Let requests come in one turn of the event loop; gives how many were let in."""
    admitted = sum(queue.enter(perf_counter()) for _ in range(requests))
    await asyncio.sleep(0)
    for _ in range(requests):
        queue.leave()
    return admitted


async def turns(queue: Queue, requests: int, seconds: float) -> list[int]:
    end = perf_counter() + seconds
    admitted = []
    while perf_counter() < end:
        admitted.append(await turn(queue, requests))
        await asyncio.sleep(0.001)
    return admitted


def test_a_burst_is_let_in() -> None:
    async def run() -> None:
        queue = Queue(MOST)
        assert await turn(queue, 1) == 1
        assert await turn(queue, 1000) == 1000

    asyncio.run(run())


def test_what_lasts_is_let_in_a_turn_at_a_time_until_a_turn_is_short_again() -> None:
    async def run() -> None:
        queue = Queue(MOST)
        await turn(queue, 1)
        admitted = await turns(queue, 3 * MOST, 0.3)
        assert admitted[0] == 3 * MOST  # a burst, so far
        assert set(admitted[-10:]) == {MOST}
        assert await turn(queue, MOST // 2) == MOST // 2
        assert await turn(queue, 3 * MOST) == 3 * MOST

    asyncio.run(run())


def test_turns_that_are_not_too_long_are_let_in_for_ever() -> None:
    assert set(asyncio.run(turns(Queue(MOST), MOST, 0.3))) == {MOST}


def test_those_under_way_are_counted() -> None:
    async def run() -> None:
        queue = Queue(MOST)
        for _ in range(3):
            queue.enter(perf_counter())
        queue.leave()
        assert queue.under_way == 2

    asyncio.run(run())


def test_a_lane_carries_out_one_piece_at_a_time_in_a_thread() -> None:
    running = threading.Lock()
    threads = set()

    def work(number: int) -> int:
        assert running.acquire(blocking=False)
        threads.add(threading.get_ident())
        time.sleep(0.01)
        running.release()
        return number

    async def run() -> list[int]:
        lane = Lane(MOST)
        return await asyncio.gather(*(lane.carry_out(work, number) for number in range(MOST)))

    assert asyncio.run(run()) == list(range(MOST))
    assert threading.get_ident() not in threads


def test_a_lane_refuses_what_would_wait_too_long() -> None:
    async def run() -> None:
        lane = Lane(MOST)
        work = [asyncio.create_task(lane.carry_out(time.sleep, 0.02)) for _ in range(MOST)]
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal) as raised:
            await lane.carry_out(time.sleep, 0)
        assert (raised.value.status, raised.value.reason) == (503, "overload")
        await asyncio.gather(*work)
        await lane.carry_out(time.sleep, 0)

    asyncio.run(run())


def test_a_lane_that_had_to_refuse_lets_half_as_many_wait_until_it_was_empty() -> None:
    async def run() -> None:
        lane = Lane(8)
        done = threading.Semaphore(0)
        work = [asyncio.create_task(lane.carry_out(done.acquire)) for _ in range(8)]
        await asyncio.sleep(0.01)
        assert not lane.admits()

        for left in range(7, 3, -1):
            assert not lane.admits(), f"{left + 1} pieces are in it"
            done.release()
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            work = [piece for piece in work if not piece.done()]
            assert len(work) == left
        assert not lane.admits(), "4 pieces are in it"
        done.release()
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        assert lane.admits(), "3 pieces are in it"
        for _ in range(3):
            done.release()
        await asyncio.gather(*work)

        work = [asyncio.create_task(lane.carry_out(done.acquire)) for _ in range(7)]
        await asyncio.sleep(0.01)
        assert lane.admits(), "it has been empty, and 7 pieces are in it"
        for _ in range(7):
            done.release()
        await asyncio.gather(*work)

    asyncio.run(run())


def test_work_that_fails_leaves_the_lane() -> None:
    async def run() -> None:
        lane = Lane(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await lane.carry_out(divmod, 1, 0)
        assert await lane.carry_out(divmod, 7, 2) == (3, 1)

    asyncio.run(run())

"""The batcher, one promise at a time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from valence_service.core.errors import DeadlinePassed, Draining, ModelFailed, Overloaded
from valence_service.core.sentiment import Answer, Sentiment
from valence_service.scheduler.batcher import Batcher
from valence_service.scheduler.queue import Flow

from tests.scheduler.fakes import (
    GUARD_SECONDS,
    FakeClassifier,
    a_few_turns,
    batching,
    occupied,
    said,
    sentiment_of,
    submit,
    submit_wait,
)
from tests.support.waiting import until


class Panic(BaseException):
    """As pyo3's PanicException, which a Rust tokenizer may raise: no Exception."""


POISONS = [
    ValueError,
    StopIteration,
    StopAsyncIteration,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    Panic,
]
UNEQUAL: list[Callable[[list[Sentiment]], Any]] = [
    lambda answers: answers[1:],
    lambda answers: [*answers, sentiment_of("nobody's")],
    lambda answers: [],
    lambda answers: None,
]


# Cutting


async def test_an_idle_worker_takes_a_lone_text_at_once() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        assert said(await submit(batcher, "alone")) == "alone"
    assert fake.cuts == [["alone"]]


async def test_texts_that_arrive_while_a_batch_computes_form_the_next_one() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        await occupied(batcher, fake)
        answers = [batcher.submit([text])[0] for text in ("a", "b", "c")]
        fake.release()
        assert [said(await answer) for answer in answers] == ["a", "b", "c"]
    assert fake.cuts[1:] == [["a", "b", "c"]]


async def test_submitting_nothing_gives_nothing() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        assert batcher.submit([]) == []
    assert fake.cuts == []


async def test_a_cut_has_at_most_so_many_texts() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=2) as batcher:
        answers = batcher.submit(["a", "b", "c", "d", "e"])
        assert [said(answer) for answer in await asyncio.gather(*answers)] == list("abcde")
    assert fake.cuts == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_cut_has_at_most_so_many_tokens_and_a_text_above_that_goes_alone() -> None:
    fake = FakeClassifier()
    tokens_12, tokens_102 = "x" * 35, "y" * 350
    async with batching(fake, max_batch_tokens=24) as batcher:
        await asyncio.gather(*batcher.submit([tokens_12] * 3 + [tokens_102] + [tokens_12]))
    assert fake.cuts == [[tokens_12] * 2, [tokens_12], [tokens_102], [tokens_12]]


async def test_tokens_are_estimated_from_bytes_and_never_above_what_the_model_reads() -> None:
    fake = FakeClassifier()
    two_bytes_each, longer_than_the_model_reads = "ü" * 35, "x" * 10_000
    async with batching(fake, max_batch_tokens=fake.info.max_tokens + 21) as batcher:
        await asyncio.gather(*batcher.submit([two_bytes_each, longer_than_the_model_reads]))
    assert fake.cuts == [[two_bytes_each], [longer_than_the_model_reads]]
    async with batching(fake, max_batch_tokens=fake.info.max_tokens + 22) as batcher:
        await asyncio.gather(*batcher.submit([two_bytes_each, longer_than_the_model_reads]))
    assert fake.cuts[2:] == [[longer_than_the_model_reads, two_bytes_each]]


async def test_a_cut_is_sorted_longest_first_and_answered_in_the_callers_order() -> None:
    fake = FakeClassifier()
    texts = ["x", "x" * 30, "x" * 10, "x" * 20]
    async with batching(fake) as batcher:
        answers = await asyncio.gather(*batcher.submit(texts))
    assert fake.cuts == [sorted(texts, key=len, reverse=True)]
    assert [said(answer) for answer in answers] == texts


# The bound of the queue


async def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=2) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["a"])
        batcher.submit(["b"])
        with pytest.raises(Overloaded) as refused:
            batcher.submit(["c"])
        assert refused.value.retry_after_seconds > 0
        assert batcher.queued_texts == 2


async def test_several_texts_are_queued_all_or_not_at_all() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=3) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["a", "b"])
        with pytest.raises(Overloaded):
            batcher.submit(["c", "d"])
        assert batcher.queued_texts == 2
        (last,) = batcher.submit(["e"])
        fake.release()
        assert said(await last) == "e"
    assert fake.cuts[1:] == [["a", "e", "b"]]


async def test_retrying_takes_longer_the_slower_the_model_and_the_longer_the_queue(
    put_clock_forward: Callable[[float], None],
) -> None:
    async def retry_after(*, queued: int) -> float:
        fake = FakeClassifier()
        async with batching(fake, max_queue_texts=queued) as batcher:
            slow = await occupied(batcher, fake)
            put_clock_forward(3)
            fake.release(1)
            await slow
            await occupied(batcher, fake)
            batcher.submit(["queued"] * queued)
            with pytest.raises(Overloaded) as refused:
                batcher.submit(["one more"])
        return refused.value.retry_after_seconds

    few, many = await retry_after(queued=2), await retry_after(queued=8)
    assert 1.5 < few < many <= 30


# Callers who leave


async def test_a_caller_who_leaves_the_queue_frees_the_place_and_is_not_computed() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=2) as batcher:
        await occupied(batcher, fake)
        leaver, stayer = batcher.submit(["leaves", "stays"])
        leaver.cancel()
        await a_few_turns()
        assert batcher.queued_texts == 1
        (newcomer,) = batcher.submit(["comes"])
        fake.release()
        assert said(await stayer) == "stays"
        assert said(await newcomer) == "comes"
    assert fake.cuts[1:] == [["stays", "comes"]]


async def test_a_caller_who_leaves_in_the_instant_of_the_cut_is_skipped() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        leaver, stayer = batcher.submit(["leaves", "stays"])
        leaver.cancel()
        assert said(await stayer) == "stays"
    assert fake.cuts == [["stays"]]


async def test_who_has_left_or_is_late_takes_no_place_in_a_cut(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    loop = asyncio.get_running_loop()
    async with batching(fake, max_batch_texts=2, max_batch_tokens=20) as batcher:
        await occupied(batcher, fake)
        (leaver,) = batcher.submit(["leaves " + "x" * 30])
        (late,) = batcher.submit(["late " + "x" * 30], deadline=loop.time() + 2)
        stayers = batcher.submit(["stays", "stays too"])
        leaver.cancel()
        put_clock_forward(3)
        fake.release()
        await asyncio.gather(*stayers)
        with pytest.raises(DeadlinePassed):
            await late
    assert fake.cuts[1:] == [["stays too", "stays"]]


async def test_when_all_leave_the_classifier_is_not_asked() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        for future in batcher.submit(["a", "b"]):
            future.cancel()
        await a_few_turns()
        assert batcher.idle
        assert said(await submit(batcher, "c")) == "c"
    assert fake.cuts == [["c"]]


async def test_a_caller_who_leaves_a_running_batch_does_not_touch_the_others() -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher:
        leaver, stayer = batcher.submit(["leaves", "stays"])
        await fake.started()
        leaver.cancel()
        fake.release()
        assert said(await stayer) == "stays"
        assert leaver.cancelled()
        assert said(await submit(batcher, "next")) == "next"


@pytest.mark.parametrize("tamper", UNEQUAL)
async def test_a_caller_who_leaves_a_batch_that_fails_does_not_touch_the_others(
    tamper: Callable[[list[Sentiment]], Any],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher:
        (leaver,) = batcher.submit(["leaves"])
        await fake.started()
        leaver.cancel()
        fake.tamper = tamper
        fake.release(1)
        (stayer,) = batcher.submit(["stays"])
        await fake.started()
        fake.tamper = lambda answers: answers
        fake.release()
        assert said(await stayer) == "stays"


async def test_a_poisonous_text_whose_caller_has_left_does_not_end_the_worker() -> None:
    fake = FakeClassifier(held=True)
    fake.raises["bad"] = ValueError
    async with batching(fake) as batcher:
        (leaver,) = batcher.submit(["bad"])
        await fake.started()
        leaver.cancel()
        fake.release()
        assert said(await submit(batcher, "good")) == "good"


# Deadlines


async def test_a_deadline_that_passes_in_the_queue_ends_the_wait_and_saves_the_work(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    loop = asyncio.get_running_loop()
    async with batching(fake) as batcher:
        await occupied(batcher, fake)
        (late,) = batcher.submit(["late"], deadline=loop.time() + 2)
        (later,) = batcher.submit(["in time"], deadline=loop.time() + 60)
        put_clock_forward(3)
        fake.release()
        with pytest.raises(DeadlinePassed):
            await late
        assert said(await later) == "in time"
    assert fake.cuts[1:] == [["in time"]]


async def test_a_deadline_that_passes_during_the_computation_costs_nothing(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier(held=True)
    async with batching(fake) as batcher:
        (future,) = batcher.submit(["a"], deadline=asyncio.get_running_loop().time() + 2)
        await fake.started()
        put_clock_forward(3)
        fake.release()
        assert said(await future) == "a"


async def test_a_caller_who_has_left_is_not_also_told_of_the_deadline() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        (leaver,) = batcher.submit(["a"], deadline=asyncio.get_running_loop().time() - 1)
        leaver.cancel()
        assert said(await submit(batcher, "b")) == "b"
        assert leaver.cancelled()


# Batches that fail


@pytest.mark.parametrize("poison", POISONS)
async def test_a_poisonous_text_fails_alone_whatever_the_model_raises(
    poison: type[BaseException],
) -> None:
    fake = FakeClassifier()
    fake.raises["bad"] = poison
    async with batching(fake) as batcher:
        *mates, guilty = batcher.submit(["a", "b", "c", "d", "bad"])
        assert [said(await mate) for mate in mates] == ["a", "b", "c", "d"]
        with pytest.raises(ModelFailed) as failed:
            await guilty
        assert failed.value.__cause__ is not None
        assert said(await submit(batcher, "next")) == "next"


async def test_a_batch_that_fails_is_split_until_the_guilty_stand_alone() -> None:
    fake = FakeClassifier()
    fake.raises = {"bad": ValueError, "bad too": KeyError}
    texts = ["a", "bad", "b", "c", "d", "e", "f", "bad too"]
    async with batching(fake) as batcher:
        outcomes = await asyncio.gather(*batcher.submit(texts), return_exceptions=True)
    for text, outcome in zip(texts, outcomes, strict=True):
        if text in fake.raises:
            assert isinstance(outcome, ModelFailed)
            assert isinstance(outcome.__cause__, fake.raises[text])
        else:
            assert isinstance(outcome, Answer)
            assert said(outcome) == text
    assert all([text] in fake.cuts for text in fake.raises)


async def test_a_caller_who_leaves_while_a_batch_is_split_is_not_computed_again() -> None:
    fake = FakeClassifier(held=True)
    fake.raises["poison"] = ValueError
    async with batching(fake) as batcher:
        guilty, leaver = batcher.submit(["poison", "leaves"])
        await fake.started()
        fake.release(1)
        assert await fake.started() == ["poison"]
        leaver.cancel()
        fake.release()
        with pytest.raises(ModelFailed):
            await guilty
        await submit(batcher, "next")
    assert fake.cuts == [["poison", "leaves"], ["poison"], ["next"]]


@pytest.mark.parametrize("tamper", UNEQUAL)
async def test_a_wrong_number_of_answers_fails_its_batch_and_misleads_nobody(
    tamper: Callable[[list[Sentiment]], Any],
) -> None:
    fake = FakeClassifier()
    fake.tamper = tamper
    async with batching(fake) as batcher:
        outcomes = await asyncio.gather(*batcher.submit(["a", "b", "c"]), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ModelFailed] * 3
        fake.tamper = lambda answers: answers
        assert said(await submit(batcher, "next")) == "next"


# Waiting for room


async def test_who_finds_room_does_not_wait() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        assert said(await submit_wait(batcher, "a")) == "a"


async def test_who_waits_for_room_is_served_first_come_first_served() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["queued"])
        waiters = [asyncio.create_task(submit_wait(batcher, text)) for text in ("a", "b", "c")]
        await a_few_turns()
        assert batcher.queued_texts == 1
        fake.release()
        assert [said(await waiter) for waiter in waiters] == ["a", "b", "c"]
    assert fake.cuts[1:] == [["queued"], ["a"], ["b"], ["c"]]


async def test_the_order_holds_when_several_places_come_free_together() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=4) as batcher:
        await occupied(batcher, fake)
        leavers = batcher.submit(["leaves", "leaves too", "leaves as well", "leaves last"])
        waiters = [asyncio.create_task(submit_wait(batcher, text)) for text in "abcde"]
        await a_few_turns()
        for leaver in leavers:
            leaver.cancel()
        await a_few_turns()
        assert batcher.queued_texts == 2
        fake.release()
        await asyncio.gather(*waiters)
    assert fake.cuts[1:] == [["a"], ["b"], ["c"], ["d"], ["e"]]


async def test_a_newcomer_does_not_take_the_place_of_one_who_waits() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (leaver,) = batcher.submit(["leaves"])
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        leaver.cancel()
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            batcher.submit(["newcomer"])
        fake.release()
        assert said(await waiter) == "waits"


async def test_a_deadline_that_passes_while_waiting_for_room_is_honoured() -> None:
    fake = FakeClassifier()
    past = asyncio.get_running_loop().time() - 1
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["queued"])
        waiting = asyncio.create_task(batcher.submit_wait("late", Flow(), deadline=past))
        await a_few_turns()
        fake.release()
        with pytest.raises(DeadlinePassed):
            await (await waiting)
    assert ["late"] not in fake.cuts


@pytest.mark.parametrize("turns", range(4))
async def test_who_stops_waiting_does_not_take_a_place_along(turns: int) -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (queued,) = batcher.submit(["queued"])
        leaver = asyncio.create_task(submit_wait(batcher, "leaves"))
        stayer = asyncio.create_task(submit_wait(batcher, "stays"))
        await a_few_turns()
        queued.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        leaver.cancel()
        await a_few_turns()
        assert leaver.cancelled()
        assert batcher.queued_texts == 1
        fake.release()
        assert said(await stayer) == "stays"
    assert ["leaves"] not in fake.cuts


async def test_who_stops_waiting_leaves_nothing_behind() -> None:
    class Text(str):
        """A text that can be watched."""

        __slots__ = ("__weakref__",)

    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        batcher.submit(["queued"])
        text = Text("waits")
        remains = weakref.ref(text)
        waiter = asyncio.create_task(submit_wait(batcher, text))
        del text
        await a_few_turns()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        del waiter
        await a_few_turns()
        gc.collect()
        assert remains() is None


async def test_a_deadline_that_passes_makes_room_for_who_waits(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    soon = asyncio.get_running_loop().time() + 2
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (late,) = batcher.submit(["late"], deadline=soon)
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        put_clock_forward(3)
        fake.release()
        assert said(await waiter) == "waits"
        with pytest.raises(DeadlinePassed):
            await late


# Ending


async def test_closing_an_idle_batcher_takes_no_time() -> None:
    async with batching(FakeClassifier(), FakeClassifier()) as batcher:
        await a_few_turns()
        assert await batcher.close(timeout_seconds=0)


async def test_closing_answers_what_is_queued_and_takes_nothing_more() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=1) as batcher:
        running = await occupied(batcher, fake)
        queued = batcher.submit(["a", "b"])
        closing = asyncio.create_task(batcher.close(timeout_seconds=10))
        await a_few_turns()
        with pytest.raises(Draining):
            batcher.submit(["too late"])
        with pytest.raises(Draining):
            await batcher.submit_wait("too late", Flow())
        assert not closing.done()
        fake.release()
        assert await closing
        assert [future.done() for future in (running, *queued)] == [True] * 3
        assert [said(future.result()) for future in (running, *queued)] == ["occupies", "a", "b"]
        assert batcher.idle


async def test_closing_turns_away_who_waits_for_room() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (queued,) = batcher.submit(["queued"])
        waiters = [asyncio.create_task(submit_wait(batcher, text)) for text in "abc"]
        await a_few_turns()
        closing = asyncio.create_task(batcher.close(timeout_seconds=10))
        for waiter in waiters:
            with pytest.raises(Draining):
                await waiter
        fake.release()
        assert await closing
        assert said(await queued) == "queued"


async def test_closing_without_time_left_fails_the_rest_and_abandons_the_stuck_thread() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=2) as batcher:
        running = await occupied(batcher, fake)
        queued, leaver = batcher.submit(["queued", "leaves"])
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        leaver.cancel()
        assert not await batcher.close(timeout_seconds=0)
        for caller in (running, queued, waiter):
            with pytest.raises(Draining):
                await caller
        assert leaver.cancelled()
        assert batcher.idle
        assert batcher.queued_texts == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert fake.cuts == [["occupies"]]


async def test_closing_ends_the_threads() -> None:
    fakes = [FakeClassifier(), FakeClassifier()]
    async with batching(*fakes) as batcher:
        await batcher.check_replicas()
        idents = {ident for fake in fakes for ident in fake.threads}
        threads = [thread for thread in threading.enumerate() if thread.ident in idents]
        assert len(threads) == 2
        await batcher.close(timeout_seconds=10)
        for thread in threads:
            thread.join(GUARD_SECONDS)
            assert not thread.is_alive()


async def test_closing_twice_is_closing_once() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        running = await occupied(batcher, fake)
        assert not await batcher.close(timeout_seconds=0)
        assert not await batcher.close(timeout_seconds=0)
        with pytest.raises(Draining):
            await running


async def test_a_fault_of_the_batcher_itself_does_not_go_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeClassifier()
    async with asyncio.timeout(10):
        batcher = Batcher([fake], max_batch_texts=1, max_batch_tokens=1, max_queue_texts=1)
        monkeypatch.setattr("valence_service.scheduler.queue.Queue.cut", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await batcher.close(timeout_seconds=10)


# Workers


async def test_two_workers_compute_at_the_same_time_each_in_its_own_thread() -> None:
    one, other = FakeClassifier(held=True), FakeClassifier(held=True)
    async with batching(one, other, max_batch_texts=1) as batcher:
        answers = batcher.submit(["a", "b"])
        assert {(await one.started())[0], (await other.started())[0]} == {"a", "b"}
        one.release()
        other.release()
        assert [said(answer) for answer in await asyncio.gather(*answers)] == ["a", "b"]
        for text in "cdefgh":
            await asyncio.gather(*batcher.submit([text] * 3))
    assert len(one.threads) == len(other.threads) == 1
    assert one.threads != other.threads


async def test_a_stuck_worker_does_not_stop_the_other() -> None:
    stuck, other = FakeClassifier(held=True), FakeClassifier(held=True)
    async with batching(stuck, other, max_batch_texts=1) as batcher:
        answers = batcher.submit(["a", "b"])
        stuck_on = (await stuck.started())[0]
        await other.started()
        other.release()
        for text, answer in zip(["a", "b"], answers, strict=True):
            if text != stuck_on:
                assert said(await answer) == text
        for text in "cde":
            assert said(await submit(batcher, text)) == text
    assert len(stuck.cuts) == 1


async def test_beside_a_busy_worker_a_burst_is_computed_together() -> None:
    busy, free = FakeClassifier(held=True), FakeClassifier(held=True)
    async with batching(busy, free, max_batch_texts=4) as batcher:
        first = batcher.submit(["first"])
        await until(lambda: busy.at_gate or free.at_gate)
        if free.at_gate:
            busy, free = free, busy
        # As callers who were answered together come back: one with each step of the loop.
        burst = []
        for text in "abcde":
            burst += batcher.submit([text])
            await asyncio.sleep(0)
        busy.release()
        free.release()
        assert [said(await answer) for answer in [*first, *burst]] == ["first", *"abcde"]
    assert sorted(busy.cuts + free.cuts) == [["a", "b", "c", "d"], ["e"], ["first"]]


# What it says of itself


async def test_timings_say_how_long_a_text_queued_and_its_batch_took(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        first = await occupied(batcher, fake)
        (second,) = batcher.submit(["a"])
        put_clock_forward(3)
        fake.release(1)
        await first
        await fake.started()
        put_clock_forward(5)
        fake.release()
        timings = [(await first).timings, (await second).timings]
    assert [timing.queue_seconds for timing in timings] == pytest.approx([0, 3], abs=1)
    assert [timing.inference_seconds for timing in timings] == pytest.approx([3, 5], abs=1)


async def test_the_wait_for_room_is_not_time_in_the_queue(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    async with batching(fake, max_queue_texts=1) as batcher:
        await occupied(batcher, fake)
        (leaver,) = batcher.submit(["leaves"])
        waiter = asyncio.create_task(submit_wait(batcher, "waits"))
        await a_few_turns()
        put_clock_forward(5)
        leaver.cancel()
        await a_few_turns()
        put_clock_forward(3)
        fake.release()
        assert (await waiter).timings.queue_seconds == pytest.approx(3, abs=1)


async def test_a_batch_that_does_not_end_shows_as_stalled(
    put_clock_forward: Callable[[float], None],
) -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        assert batcher.stalled_seconds == 0
        stuck = await occupied(batcher, fake)
        put_clock_forward(3)
        assert batcher.stalled_seconds == pytest.approx(3, abs=1)
        fake.release()
        await stuck
        await a_few_turns()
        assert batcher.stalled_seconds == 0


async def test_the_longest_stall_of_all_workers_counts(
    put_clock_forward: Callable[[float], None],
) -> None:
    fakes = [FakeClassifier(held=True), FakeClassifier(held=True)]
    async with batching(*fakes, max_batch_texts=1) as batcher:
        batcher.submit(["a"])
        await a_few_turns()
        put_clock_forward(3)
        batcher.submit(["b"])
        await asyncio.gather(*(fake.started() for fake in fakes))
        put_clock_forward(2)
        assert batcher.stalled_seconds == pytest.approx(5, abs=1)


async def test_idle_means_that_nothing_waits_or_computes() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        assert batcher.idle
        running = await occupied(batcher, fake)
        assert (batcher.queued_texts, batcher.idle) == (0, False)
        (queued,) = batcher.submit(["queued"])
        assert (batcher.queued_texts, batcher.idle) == (1, False)
        fake.release()
        await asyncio.gather(running, queued)
        await a_few_turns()
        assert batcher.idle

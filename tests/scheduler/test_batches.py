"""How batches form, and how replicas share them."""

from __future__ import annotations

import asyncio

from tests.scheduler.fakes import (
    FakeClassifier,
    batching,
    occupied,
    said,
    submit,
)
from tests.support.waiting import until

# Forming batches


async def test_an_idle_replica_takes_a_lone_text_at_once() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        assert said(await submit(batcher, "alone")) == "alone"
    assert fake.batches == [["alone"]]


async def test_texts_that_arrive_while_a_batch_computes_form_the_next_one() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        await occupied(batcher, fake)
        answers = [batcher.submit([text])[0] for text in ("a", "b", "c")]
        fake.release()
        assert [said(await answer) for answer in answers] == ["a", "b", "c"]
    assert fake.batches[1:] == [["a", "b", "c"]]


async def test_submitting_nothing_gives_nothing() -> None:
    fake = FakeClassifier()
    async with batching(fake) as batcher:
        assert batcher.submit([]) == []
    assert fake.batches == []


async def test_a_batch_has_at_most_so_many_texts() -> None:
    fake = FakeClassifier()
    async with batching(fake, max_batch_texts=2) as batcher:
        answers = batcher.submit(["a", "b", "c", "d", "e"])
        assert [said(answer) for answer in await asyncio.gather(*answers)] == list("abcde")
    assert fake.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_batch_has_at_most_so_many_tokens_and_a_text_above_that_goes_alone() -> None:
    fake = FakeClassifier()
    tokens_12, tokens_102 = "x" * 35, "y" * 350
    async with batching(fake, max_batch_tokens=24) as batcher:
        await asyncio.gather(*batcher.submit([tokens_12] * 3 + [tokens_102] + [tokens_12]))
    assert fake.batches == [[tokens_12] * 2, [tokens_12], [tokens_102], [tokens_12]]


async def test_tokens_are_estimated_from_bytes_and_never_above_what_the_model_reads() -> None:
    fake = FakeClassifier()
    two_bytes_each, longer_than_the_model_reads = "ü" * 35, "x" * 10_000
    async with batching(fake, max_batch_tokens=fake.info.max_tokens + 21) as batcher:
        await asyncio.gather(*batcher.submit([two_bytes_each, longer_than_the_model_reads]))
    assert fake.batches == [[two_bytes_each], [longer_than_the_model_reads]]
    async with batching(fake, max_batch_tokens=fake.info.max_tokens + 22) as batcher:
        await asyncio.gather(*batcher.submit([two_bytes_each, longer_than_the_model_reads]))
    assert fake.batches[2:] == [[longer_than_the_model_reads, two_bytes_each]]


async def test_a_batch_is_sorted_longest_first_and_answered_in_the_callers_order() -> None:
    fake = FakeClassifier()
    texts = ["x", "x" * 30, "x" * 10, "x" * 20]
    async with batching(fake) as batcher:
        answers = await asyncio.gather(*batcher.submit(texts))
    assert fake.batches == [sorted(texts, key=len, reverse=True)]
    assert [said(answer) for answer in answers] == texts


# Replicas


async def test_two_replicas_compute_at_the_same_time_each_in_its_own_thread() -> None:
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


async def test_a_stuck_replica_does_not_stop_the_other() -> None:
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
    assert len(stuck.batches) == 1


async def test_beside_a_busy_replica_a_burst_is_computed_together() -> None:
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
    assert sorted(busy.batches + free.batches) == [["a", "b", "c", "d"], ["e"], ["first"]]

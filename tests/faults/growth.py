"""Whether something leaves anything behind, however often it happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.faults.running import Running

LEAST_ROUNDS, MOST_ROUNDS = 4, 20


async def check_nothing_adds_up(
    server: Running, one_round: Callable[[], Awaitable[object]], *, times: int, each_bytes: int
) -> None:
    """Run rounds, in each of which a thing happens so many times, until one leaves nothing.

    What stays behind each time stays behind in every round. A pool that has to become larger, or a
    kernel for a shape that has not been seen before, takes room in some rounds, and there are only
    so many of these. A call that is kept has dozens of Python's blocks, and kilobytes in grpc.
    """
    await one_round()
    before = server.kept()
    growths = []
    for _ in range(MOST_ROUNDS):
        await one_round()
        after = server.kept()
        growths.append(after - before)
        before = after
        fewest_blocks = min(growth.blocks for growth in growths)
        fewest_bytes = min(growth.malloc_bytes for growth in growths)
        harmless = fewest_blocks < times / 4 and fewest_bytes < times * each_bytes
        if harmless and len(growths) >= LEAST_ROUNDS:
            return
    raise AssertionError(f"each round leaves something: {growths}")

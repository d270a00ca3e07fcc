"""Whether something leaves anything behind, however often it happens."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from tests.faults.running import Running

ROUNDS = 4


async def check_nothing_adds_up(
    server: Running, one_round: Callable[[], Awaitable[object]], *, times: int, each_bytes: int
) -> None:
    """Run rounds, in each of which a thing happens so many times, and see what stays of them.

    What is left behind at each time makes every round leave something. A pool or a table that has
    to become larger does so in some rounds, and so the round that leaves least is the one that
    tells. A call leaves dozens of Python's blocks if it is kept, and grpc's core some kilobytes.
    """
    await one_round()
    kept = [server.kept()]
    for _ in range(ROUNDS):
        await one_round()
        kept.append(server.kept())
    growths = [after - before for before, after in itertools.pairwise(kept)]
    assert min(growth.blocks for growth in growths) < times / 4, growths
    assert min(growth.malloc_bytes for growth in growths) < times * each_bytes, growths

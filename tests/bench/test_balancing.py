"""The simulation keeps the service's rules, and follows the policies."""

from __future__ import annotations

import pytest

from bench.balancing import DEADLINE_SECONDS, POLICIES, Outcome, Replica, batch_seconds, simulate

SPEEDS = (1.0, 1.0, 0.25)
# Of 20 ms for a text, three servers answer 112 a second.
RATE = 90.0


def outcome(policy: str, *, rate: float = RATE, seconds: float = 30.0) -> Outcome:
    replicas = [Replica(speed, 1, lambda texts: 0.02 * texts) for speed in SPEEDS]
    return simulate(policy, replicas, rate, seconds=seconds)


def test_a_lone_call_waits_for_its_own_batch_alone() -> None:
    found = simulate("round robin", [Replica()], 0.2, seconds=60.0)
    assert found.percentile_ms(50) == pytest.approx(1e3 * batch_seconds(1))


@pytest.mark.parametrize("policy", POLICIES)
def test_no_call_is_lost_and_none_is_late(policy: str) -> None:
    found = outcome(policy, rate=3 * RATE)
    assert len(found.seconds) + found.refused == pytest.approx(3 * RATE * 30, rel=0.1)
    assert found.refused_share > 0.4
    assert found.seconds[-1] <= DEADLINE_SECONDS
    assert sum(found.shares) == pytest.approx(1)


def test_round_robin_fills_the_slow_server_and_the_others_do_not() -> None:
    found = {policy: outcome(policy) for policy in POLICIES}
    for policy in ("weighted", "two choices"):
        assert found[policy].refused < 0.2 * found["round robin"].refused
        assert found[policy].percentile_ms(99) < found["round robin"].percentile_ms(99)
        assert found[policy].shares[2] < found["round robin"].shares[2]

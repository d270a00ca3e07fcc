"""Estimate how fast the replicas compute, from the batches that they have computed."""

from __future__ import annotations

import math

# Decay factor: a sample's weight halves every three batches.
DECAY = 0.8
# Assumed until the first text is measured.
FIRST_SECONDS_PER_TOKEN = 0.0005


class ThroughputEstimate:
    """An estimate that follows the last batches."""

    def __init__(self, replicas: int) -> None:
        """Estimate for so many replicas at first."""
        self.replicas = replicas
        """Replicas that compute at the same time."""
        self.single_seconds = math.inf
        """Seconds that one short text takes alone; infinite until measured."""
        # Sums instead of a mean of each batch's throughput: a batch of one says less.
        self._tokens = 1.0
        self._seconds = FIRST_SECONDS_PER_TOKEN
        self._batches = 1.0
        self.warming_up = False
        """Whether the largest batch is being computed for the first time."""
        self._measured = False

    @property
    def trusted(self) -> bool:
        """Whether texts may be refused for it: a guess, or a single text, says too little."""
        return self._measured and not self.warming_up

    def measured(self, tokens: int, seconds: float) -> None:
        """Take a sample: one replica computed so many tokens in so many seconds."""
        self._measured = True
        self._tokens = DECAY * self._tokens + tokens
        self._seconds = DECAY * self._seconds + seconds
        self._batches = DECAY * self._batches + 1

    def measured_single(self, tokens: int, seconds: float) -> None:
        """Take a sample: a replica computed one short text alone in so many seconds."""
        if math.isinf(self.single_seconds):
            self.single_seconds = seconds
        if not self._measured:
            # Better than the guess, and too long rather than too short.
            self._tokens, self._seconds = 1.0 + tokens, FIRST_SECONDS_PER_TOKEN + seconds
        self.single_seconds = DECAY * self.single_seconds + (1 - DECAY) * seconds

    @property
    def batch_seconds(self) -> float:
        """Seconds that a batch takes."""
        return self._seconds / self._batches

    def seconds_for(self, tokens: float) -> float:
        """Return the seconds that all replicas together need for so many tokens."""
        return self.replica_seconds_for(tokens) / self.replicas

    def replica_seconds_for(self, tokens: float) -> float:
        """Return the seconds that one replica needs for so many tokens."""
        return tokens * self._seconds / self._tokens

    def tokens_in(self, seconds: float) -> float:
        """Return the tokens that one replica computes in so many seconds."""
        return seconds * self._tokens / self._seconds

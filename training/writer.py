"""Write the texts that no file holds: facts, questions with an opinion, emoji, and nonsense."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from training import emoji, templates
from training.example import Example, answered, of_three

if TYPE_CHECKING:
    import numpy as np

    from training.recipe import Written

# The target of a written text of each label, and of a text that nothing can be said of.
TARGETS = {
    "negative": (0.90, 0.08, 0.02),
    "neutral": (0.04, 0.92, 0.04),
    "positive": (0.02, 0.08, 0.90),
}
CANNOT_SAY = (0.25, 0.5, 0.25)
# A text with an emoji that says the same is nearly never neutral.
BOTH_SAY = 0.04
# An emoji beside words without a side says nearly as much as alone.
WORDS_DOUBT = 0.15
EMOJI_WORDS = 30
EVEN = 0.5
# Letters without a word, and signs without a token.
_SIGNS_FROM = (0x62, 0x2200, 0x2500, 0x1D400, 0x13000, 0x12000)


class Writer:
    """Write examples of a run's counts."""

    def __init__(self, counts: Written, rng: np.random.Generator) -> None:
        """Draw all chance from rng."""
        self._counts = counts
        self._rng = rng
        self._groups = [*emoji.EMOJI.items(), *emoji.EMOTICONS.items()]

    def texts(self) -> list[Example]:
        """Return every kind but for emoji beside words."""
        counts = self._counts
        return [
            *self._patterns("facts", counts.facts),
            *self._patterns("sided_facts", counts.sided_facts),
            *self._patterns("opinion_questions", counts.opinion_questions),
            *self._emoji_alone(),
            *(of_three(self._nonsense(), CANNOT_SAY) for _ in range(counts.unknown)),
        ]

    def with_emoji(self, examples: list[Example]) -> list[Example]:
        """Return texts with an emoji beside their words: some of the examples, and phrases.

        An emoji that says what the text says makes it surer. A neutral text takes its side.
        """
        phrases = self._patterns("phrases", self._counts.emoji_beside_phrases)
        short = [
            example
            for example in examples
            if example.neutral_weight == 1 and len(example.text.split()) < EMOJI_WORDS
        ]
        count = min(self._counts.emoji_beside_texts, len(short))
        chosen = [short[index] for index in self._rng.choice(len(short), count, replace=False)]
        found = (self._beside(example) for example in chosen + phrases)
        return [example for example in found if example is not None]

    def _patterns(self, name: str, count: int) -> list[Example]:
        patterns = templates.patterns(name)
        return [
            of_three(text, TARGETS[label])
            for label, listed in patterns.items()
            for text in templates.write(listed, count // len(patterns), self._rng)
        ]

    def _nonsense(self) -> str:
        """Return one to eight words of letters at random, or of signs without a token."""
        start = self._rng.choice(_SIGNS_FROM)
        return " ".join(
            "".join(chr(start + letter) for letter in self._rng.integers(0, 24, length))
            for length in self._rng.integers(1, 9, self._rng.integers(1, 9))
        )

    def _emoji_alone(self) -> list[Example]:
        """Return each sign in turn, once or more, sometimes with a skin tone."""
        signs = [(sign, target) for target, group in self._groups for sign in group]
        examples = []
        for number in range(self._counts.emoji_alone):
            sign, target = signs[number % len(signs)]
            text = sign * int(self._rng.choice((1, 2, 3, 5), p=(0.4, 0.25, 0.25, 0.1)))
            if sign in emoji.TONED and self._rng.random() < EVEN:
                text = sign + self._pick(emoji.SKIN_TONES)
            examples.append(of_three(text, target))
        return examples

    def _beside(self, example: Example) -> Example | None:
        """Return the example with an emoji, or None where the two contradict each other."""
        target, group = self._groups[int(self._rng.integers(len(self._groups)))]
        text = self._joined(example.text, self._pick(group))
        emoji_says = of_three(text, target)
        if example.neutral >= EVEN:
            neutral = (emoji_says.neutral + WORDS_DOUBT) / (1 + WORDS_DOUBT)
            return answered(text, neutral, emoji_says.positive)
        if emoji_says.neutral >= EVEN:
            return replace(example, text=text)
        if abs(example.positive - emoji_says.positive) > EVEN:
            return None
        return replace(example, text=text, neutral=BOTH_SAY)

    def _joined(self, text: str, sign: str) -> str:
        signs = sign * int(self._rng.choice((1, 2, 3), p=(0.6, 0.25, 0.15)))
        match self._rng.choice(4, p=(0.6, 0.15, 0.15, 0.1)):
            case 0:
                return f"{text} {signs}"
            case 1:
                return f"{text}{signs}"
            case 2:
                return f"{signs} {text}"
            case _:
                return f"{text.rstrip('.!? ')} {signs}"

    def _pick(self, choices: list[str] | tuple[str, ...]) -> str:
        return choices[int(self._rng.integers(len(choices)))]

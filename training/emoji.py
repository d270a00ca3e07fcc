"""Give emoji tokens of their own, with vectors that begin from the words of their names.

The vocabulary of the base has rows that it never used, ``[unused0]`` and on. Each emoji takes one
of them, so the model keeps its size. An emoji is an added token of ``tokenizer.json``, which every
runtime finds beside other letters too ("good😀"). The normalizer drops variation selectors and
joiners, so ❤️ is ❤, and 🤷‍♂️ is 🤷 and ♂.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

if TYPE_CHECKING:
    import torch

PATTERNS = Path(__file__).parent / "patterns"

# The probabilities of negative, neutral and positive where a sign stands alone.
Target = tuple[float, float, float]
SKIN_TONES = tuple(map(chr, range(0x1F3FB, 0x1F400)))
# Some of those that people give a skin tone.
TONED = frozenset("👎🤦🙍🙎👉👈👇👆🤷🏃🚶🙏🤞👌💪👊✌🤘🤙💁💃🕺👍👏🙌")


def _read(name: str) -> dict[Target, list[str]]:
    groups = {}
    for line in (PATTERNS / name).read_text().splitlines()[1:]:
        negative, neutral, positive, signs = line.split("\t")
        groups[float(negative), float(neutral), float(positive)] = signs.split()
    return groups


EMOJI = _read("emoji.tsv")
EMOTICONS = _read("emoticons.tsv")


def signs(emoji: str) -> str:
    """Return an emoji as the tokenizer's normalizer leaves it: no joiners, no selectors."""
    return "".join(sign for sign in emoji if unicodedata.category(sign) not in {"Cf", "Mn"})


def tokens() -> list[str]:
    """Return the signs that get a token, in a fixed order."""
    listed = [emoji for group in EMOJI.values() for emoji in group]
    return [*dict.fromkeys(sign for emoji in listed for sign in signs(emoji)), *SKIN_TONES]


def add_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with a token for each sign, in the rows of the first unused words.

    A sign that is a word already keeps its row.
    """
    settings = json.loads(tokenizer.to_str())
    words = settings["model"]["vocab"]
    for number, sign in enumerate(tokens()):
        if sign not in words:
            words[sign] = words.pop(f"[unused{number}]")
        settings["added_tokens"].append(
            {
                "id": words[sign],
                "content": sign,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": True,
                "special": False,
            }
        )
    settings["model"]["vocab"] = dict(sorted(words.items(), key=lambda word: word[1]))
    return Tokenizer.from_str(json.dumps(settings))


def begin_vectors(table: torch.Tensor, plain: Tokenizer, extended: Tokenizer) -> None:
    """Set the row of each sign that was no word to the mean of the words of its name."""
    for sign in set(tokens()) - set(plain.get_vocab()):
        named = plain.encode(unicodedata.name(sign).lower(), add_special_tokens=False)
        table[extended.token_to_id(sign)] = table[named.ids].mean(dim=0)

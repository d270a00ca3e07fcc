"""Fifty texts that every language sends: what could get lost on the way, and what people write."""

from __future__ import annotations

MAX_TEXT_BYTES = 65536

TEXTS = [
    # Short and plain.
    "good",
    "bad",
    "x",
    "0",
    "?",
    "Lovely place.",
    "what a waste of time",
    "not bad at all",
    "I loved every minute of it",
    "The food was cold and nobody cared.",
    "It was neither good nor bad, it simply was.",
    "Would I go again? Never. Would I send my enemies? Gladly.",
    # Case, digits, punctuation, white space.
    "TERRIBLE SERVICE!!!",
    "gReAt",
    "5/5 would recommend",
    "£12.50 for a sandwich, and that was without the bread...",
    "  spaces before, after,   and within  ",
    "one line\nanother line\r\nand a\ttab",
    "a non-breaking\u00a0space and a line\u2028separator",
    "word-after-word-after-word-without-a-space",
    # What quoting and escaping could break.
    'She said "never again", and she meant it.',
    "back\\slash, single ' and double \" quotes, {braces} and [brackets]",
    "<b>Bold</b> &amp; &lt;escaped&gt;",
    "%s %d {} ${HOME} `echo` $(true)",
    "a null\u0000within",
    "\ufeffa byte order mark",
    "\u0001 control \u007f characters \u009f",
    # Scripts other than Latin, and marks upon letters.
    "Un séjour merveilleux, à refaire.",
    "Das Essen war schrecklich; der Kellner groß, aber unhöflich.",
    "Niña, ¡qué lugar tan bonito!",
    "e\u0301 in two code points is not \u00e9 in one",
    "\uff26\uff55\uff4c\uff4c\u3000\uff57\uff49\uff44\uff54\uff48",
    "素晴らしい映画でした",
    "这家餐厅太差了",
    "최고의 하루였어요",
    "Отвратительное обслуживание",
    "Πολύ ωραίο ξενοδοχείο",
    "خدمة ممتازة",
    "המקום היה נורא",
    "बहुत अच्छा",
    "ที่พักสะอาดมาก",
    # Beyond the basic plane, and sequences of several code points.
    "😀",
    "Best day ever 🎉🎉🎉",
    "👨\u200d👩\u200d👧\u200d👦 family of four, 👍🏽 and 🏳\ufe0f\u200d🌈",
    "\U0001d4b6\U0001d4c1\U0001d4c2\U0001d4c8\U0001d4c9 handwriting, and \U00010348 of Gothic",
    "flags 🇩🇪🇫🇷 and a lone joiner \u200d here",
    # Near and beyond what the model reads, and as long as may be.
    "good " * 500,
    "The room was clean, but the walls were thin and the neighbours were not. " * 60,
    "ugh! " * 5000,
    "é" * (MAX_TEXT_BYTES // 2),
]

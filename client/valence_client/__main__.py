"""The ``valence`` command."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import deque
from typing import TYPE_CHECKING, NoReturn

from valence_client import _render
from valence_client._connection import DEFAULT_ADDRESS
from valence_client.errors import ValenceError
from valence_client.sync import Client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from valence_client.results import Outcome

FAILED, INTERRUPTED, BROKEN_PIPE = 1, 130, 141


def main() -> NoReturn:
    """Run the command.

    Exits with 0, 1 (something has no answer), 2 (wrong usage), 130 (interrupted) or 141 (who read
    its output has gone).
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # A text that the terminal cannot show is no reason to fail.
        stream.reconfigure(errors="backslashreplace", line_buffering=True)
    arguments = _parser().parse_args()
    try:
        code = arguments.run(arguments)
    except ValenceError as error:
        why = _render.failure(
            error, address=arguments.address, timeout_seconds=arguments.timeout_seconds
        )
        print(f"valence: {why}", file=sys.stderr)
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    # Not sys.exit: a thread that still reads stdin would hold it up, or crash it.
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--address",
        default=os.environ.get("VALENCE_ADDRESS") or DEFAULT_ADDRESS,
        help="where the server is (default: %(default)s; also VALENCE_ADDRESS)",
    )
    common.add_argument(
        "--timeout-seconds",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long an answer may take (default: %(default)s); not for texts from stdin",
    )
    parser = argparse.ArgumentParser(prog="valence", description="Ask a Valence server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    classify = commands.add_parser(
        "classify",
        parents=[common],
        help="how texts feel",
        description="How texts feel: those given, or each line of stdin that is not blank.",
    )
    classify.add_argument("texts", nargs="*", metavar="TEXT")
    classify.add_argument(
        "--overlength",
        choices=("truncate", "reject"),
        default="truncate",
        help="what to do with a text longer than the model reads (default: %(default)s)",
    )
    classify.set_defaults(run=_classify, parser=classify)
    model = commands.add_parser("model", parents=[common], help="which model answers")
    model.set_defaults(run=_model)
    for command in (classify, model):
        command.add_argument("--json", action="store_true", help="one JSON object a line")
    health = commands.add_parser("health", parents=[common], help="whether the server takes calls")
    health.set_defaults(run=_health)
    return parser


def _classify(arguments: argparse.Namespace) -> int:
    texts: list[str] = arguments.texts
    if not texts and (sys.stdin is None or sys.stdin.isatty()):
        arguments.parser.error("give a text, or pipe texts to it, one a line")
    with Client(arguments.address, timeout_seconds=arguments.timeout_seconds) as client:
        if texts:
            outcomes = client.classify_batch(texts, overlength=arguments.overlength)
            return _print(zip(texts, outcomes, strict=True), as_json=arguments.json)
        asked: deque[str] = deque()
        answers = client.classify_stream(_lines(asked), overlength=arguments.overlength)
        return _print(((asked.popleft(), answer) for answer in answers), as_json=arguments.json)


def _lines(asked: deque[str]) -> Iterator[str]:
    """The lines of stdin that are not blank; each is also added to ``asked``."""
    sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")  # type: ignore[union-attr]
    for line in sys.stdin:
        if text := line.strip():
            asked.append(text)
            yield text


def _print(answered: Iterable[tuple[str, Outcome]], *, as_json: bool) -> int:
    code = 0
    for text, outcome in answered:
        failed = isinstance(outcome, ValenceError)
        code = FAILED if failed else code
        if as_json:
            print(_render.outcome_json(text, outcome))
        else:
            print(_render.outcome_line(text, outcome), file=sys.stderr if failed else sys.stdout)
    return code


def _model(arguments: argparse.Namespace) -> int:
    with Client(arguments.address, timeout_seconds=arguments.timeout_seconds) as client:
        info = client.model()
    print(_render.model_json(info) if arguments.json else _render.model_lines(info))
    return 0


def _health(arguments: argparse.Namespace) -> int:
    # A server that answers this call is one whose health is SERVING; a probe wants to know now.
    with Client(arguments.address, timeout_seconds=arguments.timeout_seconds, retries=0) as client:
        client.model()
    print("SERVING")
    return 0


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


if __name__ == "__main__":
    main()

"""Record a session in the terminal: run its commands on a real server, write an animated SVG.

Run it at the root, after `make run` has set up: `.venv/bin/python docs/pictures/record.py`.
Commands, output and its order are real. Typing is paced, waits are cut to MAX_WAIT_SECONDS, and
the address shown is the default one.
"""

import itertools
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import IO

ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
SERVE = "make --silent --old-file=.venv/.service run"  # nothing is set up again
COMMANDS = (
    'valence classify "I loved every minute of it" "Cold food, and nobody cared."',
    "printf 'Lovely place.\\nNever again.\\n' | valence classify",
    "valence model",
)
COLUMNS, ROW_PX, GAP_PX, WIDTH_PX = 112, 17, 28, 840
KEY_SECONDS, PAUSE_SECONDS, MAX_WAIT_SECONDS = 0.04, 1.0, 1.5
COLOURS = {"1": "bold", "2": "dim", "31": "red", "32": "green", "35": "purple", "36": "blue"}
# A piece of text is hidden until its moment. Without animation everything is visible.
STYLE = """
rect { fill: #20262e; } line { stroke: #3b4450; }
text { fill: #d8dee9; font: 12px "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.dim { fill: #7b8794; } .bold { font-weight: bold; } .red { fill: #e06c75; }
.green { fill: #8fbf7f; } .purple { fill: #c39bd3; } .blue { fill: #7fb3d5; }
tspan { animation: hidden step-end; } @keyframes hidden { from, to { visibility: hidden; } }
@media (prefers-reduced-motion: reduce) { tspan { animation: none; } }
"""


class Terminal:
    """What a terminal shows: rows of characters, each with its class and its second."""

    clock = 0.0  # seconds of the recording, shared by all terminals

    def __init__(self) -> None:
        self.rows: list[list[tuple[str, str, float]]] = []

    def type(self, command: str) -> None:
        """Type a command at the prompt."""
        Terminal.clock += PAUSE_SECONDS
        keys = [(key, "bold", self.clock + i * KEY_SECONDS) for i, key in enumerate(command)]
        self.rows.append([("$ ", "dim", self.clock), *keys])
        Terminal.clock = keys[-1][2]

    def print(self, output: IO[str], *, until: str = "\0") -> str:
        """Print lines as they come, to the first with ``until`` in it; return what was printed."""
        printed, since = "", time.monotonic()
        with suppress(OSError):  # raised when the other end of the terminal closes
            while until not in printed:
                line = output.readline()
                Terminal.clock += min(time.monotonic() - since, MAX_WAIT_SECONDS)
                since, colour, row = time.monotonic(), "", list[tuple[str, str, float]]()
                printed += line
                for text in re.split(r"(\x1b\[\d*m)", ADDRESS.sub("127.0.0.1:50051", line)):
                    if text.startswith("\x1b"):
                        colour = COLOURS.get(text[2:-1], "")
                    else:
                        row += [(character, colour, self.clock) for character in text.rstrip("\n")]
                self.rows += [row[at : at + COLUMNS] for at in range(0, len(row), COLUMNS)]
        return printed


@contextmanager
def run(command: str, **variables: str) -> Iterator[tuple[int, IO[str]]]:
    """Run a command in a terminal of its own; yield its process group and its output."""
    ours, its = pty.openpty()
    words, environment = ["/bin/sh", "-c", command], os.environ | variables
    with (
        os.fdopen(ours) as output,
        subprocess.Popen(  # noqa: S603 (the commands are those above)
            words, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
        ) as process,
    ):
        os.close(its)
        yield process.pid, output


def svg(*terminals: Terminal) -> str:
    """Draw the terminals, one below the other."""
    drawn, y = "", GAP_PX
    for terminal in terminals:
        drawn += f'<line x2="{WIDTH_PX}" y1="{y - GAP_PX}" y2="{y - GAP_PX}"/>\n'
        for row in terminal.rows:
            drawn += f'<text x="{GAP_PX // 2}" y="{y}" xml:space="preserve">'
            for (colour, at), cells in itertools.groupby(row, key=lambda cell: cell[1:]):
                span = f'<tspan class="{colour}" style="animation-duration:{at:.2f}s">'
                drawn += f"{span}{escape(''.join(cell[0] for cell in cells))}</tspan>"
            drawn += "</text>\n"
            y += ROW_PX
        y += GAP_PX
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{y - GAP_PX}">'
    return f'{head}<style>{STYLE}</style>\n<rect width="100%" height="100%"/>\n{drawn}</svg>\n'


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path('.venv/bin').resolve()}:{os.environ['PATH']}"
    server, client = Terminal(), Terminal()
    server.type("make run")
    with run(SERVE, VALENCE_PORT="0") as (group, log):
        address = ADDRESS.findall(server.print(log, until="SERVING"))[0]
        for called in COMMANDS:
            client.type(called)
            with run(called, VALENCE_ADDRESS=address) as (_, output):
                client.print(output)
        os.killpg(group, signal.SIGINT)  # as Ctrl-C does
        server.print(log)
    Path(__file__).with_name("session.svg").write_text(svg(server, client))

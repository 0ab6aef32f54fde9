"""What a person sees of a running campaign: live on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from typing import TYPE_CHECKING, Any

from xplore.campaign.settings import Totals

if TYPE_CHECKING:
    from rich.live import Live

PLAIN_EVERY = 5.0
"""Seconds between two plain lines."""
CELL_EVERY = 0.5
"""Seconds between two states of a notebook's display."""


Watch = Callable[[Totals], None]


def pace(now: Totals, of: int | None) -> tuple[float, float, str]:
    """Seeds/s, steps of the search a second, and how long the rest takes at that."""
    seconds = max(now.seconds, 1e-9)
    rate = now.closed / seconds
    left = (of - now.closed) / rate if rate > 0 and of is not None else float("inf")
    return rate, now.steps / seconds, duration(left)


def line(now: Totals, of: int | None) -> str:
    """One line that says how far it is."""
    rate, steps, left = pace(now, of)
    reached = " ".join(f"{name} {value:.0%}" for name, value in now.coverage.items())
    coverage = f"coverage {reached}  " if reached else ""  # black boxes have none
    found = f"{now.findings} findings ({now.valid} valid as found)"
    speed = f"{rate:.1f} seeds/s  {steps:.0f} steps/s"
    return f"{now.closed}/{_of(of)} seeds  {found}  {speed}  {coverage}{left} left"


def _of(seeds: int | None) -> str:
    return "?" if seeds is None else str(seeds)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(5), duration(125), duration(float("inf"))
    ('5 s', '2 min 05 s', '?')
    """
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def say(text: str) -> None:
    """A line on standard error, where there is one that is read."""
    with suppress(OSError, ValueError):  # its reader has left, or it was closed
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Is standard error a terminal?"""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it was closed
        return False


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C calls `stop`, which ends after the running step; a second one interrupts at once.

    In another thread than the main one signals cannot be had, and nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: object) -> None:
        del number, frame
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("\nending after this step; once more to end at once")
        stop()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)


@contextmanager
def display(title: str, of: int | None) -> Iterator[Watch]:
    """Show progress: in a notebook below the cell, else on standard error, live where it is a terminal."""
    if in_notebook():
        with Cell(f"{title}: {_of(of)} seeds; compiling") as cell:
            yield lambda now: cell.show(f"{title}: {line(now, of)}", now.closed, of)
        return
    if not on_terminal():
        yield _plain(title, of)
        return
    from rich.console import Console
    from rich.live import Live

    start = f"[bold]{title}[/]  {_of(of)} seeds; compiling"
    with Live(start, console=Console(stderr=True), refresh_per_second=8, transient=False) as live:
        yield _rich(title, of, live)


@contextmanager
def counting(title: str, of: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show how many of some things are done, as `display` shows a campaign."""
    done, last = 0, time.monotonic()
    if shown and in_notebook():
        with Cell(f"{title}: 0/{of}") as cell:

            def tell(count: int) -> None:
                nonlocal done
                done += count
                cell.show(f"{title}: {done}/{of}", done, of)

            yield tell
        return

    def add(count: int) -> None:
        nonlocal done, last
        done += count
        if shown and (done >= of or time.monotonic() - last >= PLAIN_EVERY):
            last = time.monotonic()
            say(f"{title}: {done}/{of}")

    if not shown or not on_terminal():
        yield add
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=of)
        yield lambda count: bar.advance(task, count)


def in_notebook() -> bool:
    """Does this run in the kernel of a notebook?"""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class Cell:
    """A line and a bar below a notebook's cell, written anew in their place; IPython alone is needed."""

    def __init__(self, start: str) -> None:
        self._text, self._share, self._last = start, 0.0, 0.0
        self._handle: Any = None

    def __enter__(self) -> Cell:
        self._draw()
        return self

    def __exit__(self, *error: object) -> None:
        self._draw()

    def show(self, text: str, done: int, of: int | None) -> None:
        """What is told from now on: drawn at once, or with the next that comes late enough."""
        self._text, self._share = text, done / of if of else 0.0
        if time.monotonic() - self._last >= CELL_EVERY:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        self._last = time.monotonic()
        bar = f"<progress value='{self._share:.3f}' max='1' style='width:14em'></progress>"
        data = {"text/plain": self._text, "text/html": f"{bar} <code>{escape(self._text)}</code>"}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _plain(title: str, of: int | None) -> Watch:
    last = time.monotonic()
    say(f"{title}: {_of(of)} seeds; compiling")

    def show(now: Totals) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_EVERY or now.closed == of:
            last = time.monotonic()
            say(f"{title}: {line(now, of)}")

    return show


def _rich(title: str, of: int | None, live: Live) -> Watch:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    def show(now: Totals) -> None:
        rate, steps, left = pace(now, of)
        table = Table.grid(padding=(0, 2))
        table.add_row(f"[bold]{title}", ProgressBar(total=of, completed=now.closed, width=40), f"{left} left")
        table.add_row("seeds", f"{now.closed} of {_of(of)}", f"{rate:.1f}/s")
        kinds = f"{len(now.disagreements)} kinds"
        table.add_row("findings", f"{now.findings}, {now.valid} of them valid as found", kinds)
        table.add_row("steps", f"{now.steps}", f"{steps:.0f}/s")
        if now.coverage:  # black boxes have none
            reached = "  ".join(f"{name} {value:.1%}" for name, value in now.coverage.items())
            table.add_row("coverage", reached, "")
        live.update(table)

    return show

"""What a person sees of a run in progress: lines, a live line, or Prefect's log."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sentiment.progress import Progress
from tasks.run.progress import Snapshot, snapshot

LINE_EVERY = 10.0  # seconds between lines where nothing can be redrawn
REDRAW_EVERY = 0.25
LINE = 80  # columns of a progress line, which otherwise flickers over two lines of a terminal
SHOWN = ("loss", "validation_accuracy")


@dataclass(frozen=True)
class Running:
    """A running stage: its name, the files its tasks report through, the work expected.

    ``sizes`` holds the bytes of each task's input.
    """

    stage: str
    files: Sequence[Path]
    total: int | None
    started: float
    sizes: Sequence[int] = ()


class Reporter(Protocol):
    """Receives what happens to each stage."""

    def note(self, line: str) -> None: ...
    def progress(self, running: Running, state: Snapshot) -> None: ...
    def interval(self) -> float: ...
    def close(self) -> None: ...


class LineReporter:
    """Writes plain lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def progress(self, running: Running, state: Snapshot) -> None:
        if state.done:
            self.note(describe(running, state))

    def interval(self) -> float:
        return LINE_EVERY

    def close(self) -> None:
        """Restore what was changed of the terminal: nothing."""


class LiveReporter(LineReporter):
    """Redraws one line at the bottom of a terminal while a stage is running."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live: Live | None = None
        self._lock = threading.RLock()  # a stage's own notes arrive while `watch` redraws

    def note(self, line: str) -> None:
        with self._lock:
            self.close()
            super().note(line)

    def progress(self, running: Running, state: Snapshot) -> None:
        text = Text(describe(running, state), style="cyan")
        with self._lock:
            if self._live is None:
                self._live = Live(console=self._console, transient=True, auto_refresh=False)
                self._live.start()
            self._live.update(text, refresh=True)

    def interval(self) -> float:
        return REDRAW_EVERY

    def close(self) -> None:
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None


class LogReporter:
    """Writes to the logger of a flow run, which the Prefect UI shows."""

    def __init__(self, logger: "logging.Logger | logging.LoggerAdapter[logging.Logger]") -> None:
        self._logger = logger

    def note(self, line: str) -> None:
        self._logger.info(line)

    def progress(self, running: Running, state: Snapshot) -> None:
        if state.done:
            self._logger.info(describe(running, state))

    def interval(self) -> float:
        return LINE_EVERY

    def close(self) -> None:
        """Nothing to close."""


chosen: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current_reporter() -> Reporter:
    """Return the reporter that was chosen, else one that writes to the log of the flow run."""
    from prefect import get_run_logger  # which takes seconds to load

    return chosen.get() or LogReporter(get_run_logger())


def describe(running: Running, state: Snapshot) -> str:
    """Return a progress message for a stage in one line of ``LINE`` columns, as far as it goes."""
    parts = progress_parts(running, state)
    fewer = [*parts[:1], *parts[2:]]  # without the speed
    plain = [parts[0].replace(" reviews", ""), *parts[1:]]
    plainest = [plain[0], *plain[2:]]
    lines = [f"{running.stage:<11}{', '.join(each)}" for each in (parts, plain, fewer, plainest)]
    shorter = [line.replace("validation accuracy", "accuracy") for line in lines]
    return next((line for line in (lines[0], *shorter) if len(line) <= LINE), shorter[-1])


def part_done(running: Running, state: Snapshot) -> float | None:
    """Return the part of a stage that is done, from 0 to 1; None if unknown."""
    if state.share is not None:
        return state.share
    total = running.total or state.total
    return min(1.0, state.done / total) if total else None


def progress_text(running: Running, state: Snapshot) -> str:
    """Return how far a stage is, its speed, the time left, and metrics."""
    return ", ".join(progress_parts(running, state))


def progress_parts(running: Running, state: Snapshot) -> list[str]:
    """Return the parts of the progress message: first how far a stage is, then its speed."""
    seconds = time.monotonic() - running.started
    total, part = running.total or state.total, part_done(running, state)
    rate = state.done / seconds if seconds > 0 else 0.0
    known = f" of {total:,}" if total else ""
    share = f" ({part:.0%})" if part is not None and not total else ""
    parts = [f"{state.done:,}{known} reviews{share}", f"{rate:,.0f}/s"]
    if part:
        parts.append(f"{seconds * (1 - part) / part:,.0f} s left")
    metrics = [(name, state.figures[name]) for name in SHOWN if name in state.figures]
    parts += [f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics]
    return parts


@contextmanager
def watch(reporter: Reporter, running: Running) -> Iterator[None]:
    """Report a stage's log, and its progress from another thread, until the block ends."""
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(reporter.interval()):
            reporter.progress(running, snapshot(running.files, running.sizes))

    # In the flow run's context, which tells Prefect whose progress this is.
    context = copy_context()
    thread = threading.Thread(
        target=context.run, args=[report], name=f"watch {running.stage}", daemon=True
    )
    thread.start()
    try:
        with _notes(reporter, running.stage):
            yield
    finally:
        ended.set()
        thread.join()
        reporter.close()  # always: otherwise the terminal's cursor stays hidden


@contextmanager
def _notes(reporter: Reporter, stage: str) -> Iterator[None]:
    """Pass on what the package ``sentiment`` logs in this process."""

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reporter.note(f"{stage:<11}{record.getMessage()}")

    logger = logging.getLogger("sentiment")
    level, handler, propagate = logger.level, Notes(), logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # otherwise Prefect repeats the line
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def reporting(reporter: Reporter, name: str) -> Iterator[Progress]:
    """Yield a ``Progress`` that reports work done in this thread at the reporter's interval."""
    started = reported = time.monotonic()
    running = Running(name, [], None, started)

    def report(done: int, total: int | None = None, **metrics: float) -> None:
        nonlocal reported
        now = time.monotonic()
        if now - reported >= reporter.interval():
            reported = now
            reporter.progress(running, Snapshot(done, metrics, total))

    try:
        yield report
    finally:
        reporter.close()

"""A stage's log lines reach those who watch the run."""

import io
import logging
import time

import pytest
from rich.console import Console

from flows.ui.reporters import (
    LineReporter,
    LiveReporter,
    LogReporter,
    Running,
    describe,
    watch,
)
from tasks.run.progress import Snapshot

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"  # the cursor
NOTE = logging.getLogger("sentiment.training.train")


def running() -> Running:
    return Running("train", [], None, time.monotonic())


def test_a_stages_note_is_a_line_of_the_run() -> None:
    for kind in (LineReporter, LiveReporter):
        written = io.StringIO()
        with watch(kind(Console(file=written)), running()):
            NOTE.info("on the %s", "CPU")
        NOTE.warning("not watched any more")
        assert written.getvalue() == "train      on the CPU\n"


def test_an_interrupted_stage_restores_the_cursor() -> None:
    written = io.StringIO()
    reporter = LiveReporter(Console(file=written, force_terminal=True))
    with pytest.raises(KeyboardInterrupt), watch(reporter, running()):
        reporter.progress(running(), Snapshot(1))
        assert written.getvalue().rfind(HIDE) > written.getvalue().rfind(SHOW)
        raise KeyboardInterrupt
    assert written.getvalue().rfind(SHOW) > written.getvalue().rfind(HIDE)


def test_a_stages_note_reaches_the_log_of_a_flow_run() -> None:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    flow_run = logging.getLogger("the flow run's logger")
    flow_run.setLevel(logging.INFO)
    flow_run.addHandler(Keep())
    with watch(LogReporter(flow_run), running()):
        NOTE.info("on the CPU")
    assert lines == ["train      on the CPU"]


@pytest.mark.parametrize("total", [36_000, 3_600_000, 40_000_000])
@pytest.mark.parametrize("seconds", [8, 900, 40_000])
def test_a_progress_line_fits_80_columns(total: int, seconds: int) -> None:
    at_work = Running("duplicates", [], total, time.monotonic() - seconds)
    for done in (1, total // 3, total):
        line = describe(at_work, Snapshot(done, {"loss": 0.159, "validation_accuracy": 0.899}))
        assert len(line) <= 80
        assert line.startswith(f"duplicates {done:,} of {total:,}")
        assert "loss 0.159" in line and "accuracy 0.899" in line
    assert "reviews, " in describe(at_work, Snapshot(1))  # nothing is left out without need


def test_the_logger_is_left_as_it_was() -> None:
    logger = logging.getLogger("sentiment")
    before = logger.level, list(logger.handlers)
    with watch(LineReporter(Console(file=io.StringIO())), running()):
        assert logger.isEnabledFor(logging.INFO)
    assert (logger.level, logger.handlers) == before

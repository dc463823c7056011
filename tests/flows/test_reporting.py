"""What a stage logs reaches whoever watches the run."""

import io
import logging
import time

from rich.console import Console

from flows.reporting import LineReporter, LiveReporter, LogReporter, Running, watch

NOTE = logging.getLogger("sentiment.training")


def running() -> Running:
    return Running("train", [], None, time.monotonic())


def test_a_stages_note_is_a_line_of_the_run() -> None:
    for kind in (LineReporter, LiveReporter):
        written = io.StringIO()
        with watch(kind(Console(file=written)), running()):
            NOTE.info("on the %s", "CPU")
        NOTE.warning("not watched any more")
        assert written.getvalue() == "train      on the CPU\n"


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


def test_the_logger_is_left_as_it_was() -> None:
    logger = logging.getLogger("sentiment")
    before = logger.level, list(logger.handlers)
    with watch(LineReporter(Console(file=io.StringIO())), running()):
        assert logger.isEnabledFor(logging.INFO)
    assert (logger.level, logger.handlers) == before

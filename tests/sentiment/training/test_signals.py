"""Work that is asked to stop while another part of the program handles the signals."""

import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from sentiment.training.signals import hold_signals, run_stoppable


class Cancelled(BaseException):
    """What a framework's signal handler raises."""


@pytest.fixture
def framework() -> Iterator[None]:
    def cancel(number: int, frame: FrameType | None) -> None:
        raise Cancelled

    before = signal.signal(signal.SIGTERM, cancel)
    yield
    signal.signal(signal.SIGTERM, before)


def test_what_interrupts_the_main_thread_lets_the_work_come_to_its_end(framework: None) -> None:
    done = []
    installed = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with hold_signals() as stop:
            assert not stop
            assert signal.getsignal(signal.SIGTERM) is installed
            os.kill(os.getpid(), signal.SIGTERM)
            while not stop:
                threading.Event().wait(0.001)
        done.append("checkpoint")
        raise ValueError("stopped half-way")

    with pytest.raises(Cancelled):
        run_stoppable(work)
    assert done == ["checkpoint"]


def test_results_and_errors_of_the_work_are_its_callers() -> None:
    assert run_stoppable(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        run_stoppable(lambda: 1 // 0)


def test_a_request_ends_with_its_work(framework: None) -> None:
    test_what_interrupts_the_main_thread_lets_the_work_come_to_its_end(framework)

    def work() -> bool:
        with hold_signals() as stop:
            return bool(stop)

    assert run_stoppable(work) is False


def test_in_the_main_thread_a_signal_waits_for_the_end_of_the_block(framework: None) -> None:
    with pytest.raises(Cancelled), hold_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop
        assert stop.number == signal.SIGTERM

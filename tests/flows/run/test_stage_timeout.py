"""The limit on a stage's time."""

import signal
import threading
import time

import pytest

from flows.run.stage_timeout import deadline
from sentiment.errors import ConfigError, StageError


def test_a_block_that_takes_too_long_is_interrupted() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with (
        pytest.raises(StageError, match=r"stage train took longer .* 0\.05 s"),
        deadline(0.05, "train"),
    ):
        time.sleep(60)
    assert signal.getsignal(signal.SIGALRM) == before


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_a_block_in_time_leaves_no_alarm_behind(seconds: float | None) -> None:
    with deadline(seconds, "train"):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_another_thread_says_that_it_cannot() -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            with deadline(1, "train"):
                pass
        except ConfigError as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(caught) == 1

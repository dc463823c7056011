import ast
import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.fingerprint.syntax import parse


@contextlib.contextmanager
def parsing_elsewhere() -> Iterator[None]:
    """Parse in a second thread, which runs whenever the garbage collector does."""
    over = threading.Event()

    def run(depth: int) -> None:
        if depth:
            run(depth - 1)
        while not over.is_set():
            with contextlib.suppress(SystemError):
                ast.parse("[" * 20 + "]" * 20)

    def give_way(phase: str, info: dict[str, int]) -> None:
        time.sleep(0.0001)

    thread = threading.Thread(target=run, args=(20,))
    thread.start()
    gc.callbacks.append(give_way)
    try:
        yield
    finally:
        gc.callbacks.remove(give_way)
        over.set()
        thread.join()


def test_parses_while_another_thread_does() -> None:
    source = Path(ast.__file__).read_text()
    expected = ast.dump(ast.parse(source))
    with parsing_elsewhere():
        trees = [parse(source) for _ in range(20)]
    assert {ast.dump(tree) for tree in trees} == {expected}


@pytest.mark.parametrize("collects", [True, False])
def test_leaves_the_collector_as_it_was(collects: bool) -> None:
    gc.enable() if collects else gc.disable()
    try:
        parse("a = 1")
        with pytest.raises(SyntaxError):
            parse("a = ")
        assert gc.isenabled() == collects
    finally:
        gc.enable()

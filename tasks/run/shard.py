"""A shard's work on a worker of a Dask cluster, which shares only the storage with the run."""

import socket
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from sentiment.errors import SentimentError, StageError
from tasks.run.portable import check_shared, from_json
from tasks.store import Store


class Outcome(NamedTuple):
    """What became of a shard: how many reviews were read, or why it failed.

    The cause is beside the error, since an exception that is sent loses it.
    """

    rows: int = 0
    error: SentimentError | None = None
    cause: BaseException | None = None


def compute_shard(asked: Mapping[str, Any], *, place: str, run: str, force: bool) -> Outcome:
    """Compute a request, given as JSON values, in the store at a place.

    Its key is computed again, so that a worker with other code or libraries refuses.
    """
    rows = 0

    def progress(done: int, total: int | None = None, **figures: float) -> None:
        nonlocal rows
        rows = done

    try:
        store = _store(place)
        request = from_json(asked)
        check_shared(request, store)
        store.build(request, force=force, run=run, progress=progress)
    except SentimentError as error:
        where = f"On the worker machine {socket.gethostname()}: "
        if isinstance(error, StageError):
            error.args = (where + str(error), *error.args[1:])
        return Outcome(error=error, cause=error.__cause__)
    return Outcome(rows)


@cache
def _store(place: str) -> Store:
    store = Store.at(place)
    store.prepare()
    return store

"""Training for a request file, by processes that torchrun or this one starts, without Prefect.

Rank 0 computes the request in the store, as a run does; the others only take part in training.
"""

import time
from functools import partial
from pathlib import Path

from flows.ui.reporters import Reporter, Running, watch
from sentiment.training.out_of_memory import saying_what_to_lower
from sentiment.training.torchrun import dismiss, follow, torchrun_group
from sentiment.training.train import longest_review
from tasks.run.portable import check_shared
from tasks.run.progress import ProgressFile, progress_path
from tasks.stage import Request
from tasks.store import Store
from tasks.store.run_records import RunRecord, new_run_id


def train_for(request: Request, store: Store, reporter: Reporter, *, force: bool = False) -> None:
    """Train for a request.

    All ranks end when the result is there, also when it was before. Raises what is raised on rank
    0, and TrainingError when one of the processes ends before.
    """
    check_shared(request, store)
    with torchrun_group(request.settings["train"]) as group:
        if group.rank == 0:
            _build(request, store, reporter, force=force)
            dismiss(group)
        else:
            follow(group, partial(_take_part, request, store))


def _build(request: Request, store: Store, reporter: Reporter, *, force: bool) -> None:
    """Compute a request in the store, with a record as of any run: `gc` keeps what that names."""
    store.prepare()
    name = request.stage.name
    record = RunRecord(store, new_run_id())
    try:
        _note_inputs(record, request)
        record.stage(name, {request.label: request.key})
        progress = progress_path(store.root, record.run_id, request)
        with watch(reporter, Running(name, [progress], None, time.monotonic())):
            built = store.build(
                request, force=force, run=record.run_id, progress=ProgressFile(progress)
            )
        state = "completed" if built.computed else "cached"
        record.stage(name, {request.label: request.key}, state=state)
    except BaseException as error:
        record.fail(error)
        raise
    record.finish("completed")
    done = f"done in {built.manifest.seconds:.1f} s" if built.computed else "cached"
    reporter.note(f"{name:<11}{done}: {store.place(f'{name}/{request.key}')}")


def _note_inputs(record: RunRecord, request: Request) -> None:
    """Note the results that a request reads, as ``earlier`` ones: the run asks for none of them."""
    keys: dict[str, dict[str, str]] = {}
    for artifact in request.artifacts:
        if artifact.stage is not None:
            key = Path(artifact.path).parts[1]
            keys.setdefault(artifact.stage, {})[key] = key
    for stage, results in keys.items():
        record.stage(stage, results)
        record.stage(stage, {})


def _take_part(request: Request, store: Store, out: Path) -> None:
    train, tensors = request.settings["train"], request.settings["tensors"]
    with saying_what_to_lower(train, longest_review(train, tensors)):
        request.load()(**request.arguments(store.root), out=out)

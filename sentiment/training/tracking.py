"""Live training history in TensorBoard or MLflow.

``history.parquet`` has all of it in any case: a tracker that fails is dropped with a warning, so
that no training ends because a server is down.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sentiment.model.config import TrainConfig
from sentiment.settings import flatten
from sentiment.training.history import Record

log = logging.getLogger(__name__)

EXPERIMENT = "review-sentiment"
TRAINING = "training"  # the tag by which a resumed training finds its MLflow run
# MLflow's client would otherwise retry for minutes when a server is down.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

Tracker = AbstractContextManager[Record]


@contextmanager
def tracked(config: TrainConfig, training: str, settings: Mapping[str, Any]) -> Iterator[Record]:
    """Yield a function that sends rows of the history to the trackers that ``config`` names.

    ``training`` is the training's name there. Resuming under the same name, record all earlier rows
    again. ``settings`` are nested JSON values.
    """
    flat = {name: str(value) for name, value in flatten(settings).items()}
    wanted: dict[str, Callable[[], Tracker]] = {}
    if config.tensorboard:
        wanted["TensorBoard"] = lambda: tensorboard(Path(config.tensorboard or ""), training, flat)
    if config.mlflow:
        wanted["MLflow"] = lambda: mlflow(config.mlflow or "", training, flat)
    records: dict[str, Record] = {}
    with ExitStack() as ends:
        for name, make in wanted.items():
            with _leaving_out(name, records):
                tracker = make()
                records[name] = tracker.__enter__()
                ends.push(partial(_end, name, tracker))

        def record(row: Mapping[str, Any]) -> None:
            for name, take in list(records.items()):
                with _leaving_out(name, records):
                    take(row)

        yield record


def _end(name: str, tracker: Tracker, *error: Any) -> None:
    with _leaving_out(name, {}):
        tracker.__exit__(*error)


@contextmanager
def _leaving_out(name: str, records: dict[str, Record]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # anything that a tracker's library may raise
        records.pop(name, None)
        log.warning("%s gets no more of this training's history: %s", name, error)


@contextmanager
def tensorboard(folder: Path, training: str, settings: Mapping[str, Any]) -> Iterator[Record]:
    """Write events into ``folder/training``, and hide those of an earlier attempt."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / training), purge_step=0, flush_secs=10) as writer:
        lines = [f"| {name} | {value} |" for name, value in settings.items()]
        writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *lines]), 0)

        def record(row: Mapping[str, Any]) -> None:
            for name, value in metrics(row).items():
                writer.add_scalar(name, value, row["step"])

        yield record


@contextmanager
def mlflow(address: str, training: str, settings: Mapping[str, Any]) -> Iterator[Record]:
    """Log into a new MLflow run, or into one that an earlier attempt did not finish."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    place = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    same = f"tags.{TRAINING} = '{training}' and attributes.status != 'FINISHED'"
    begun = client.search_runs([place], same, max_results=1)
    if begun:
        run = begun[0].info.run_id
        client.update_run(run, status="RUNNING")
    else:
        run = client.create_run(place, run_name=training, tags={TRAINING: training}).info.run_id
        client.log_batch(run, params=[Param(name, value) for name, value in settings.items()])
    known = {metric.step for metric in client.get_metric_history(run, "train_loss")}

    def record(row: Mapping[str, Any]) -> None:
        if row["step"] not in known:
            now = int(1000 * time.time())
            values = metrics(row).items()
            client.log_batch(run, [Metric(name, x, now, row["step"]) for name, x in values])

    ended = "FAILED"
    try:
        yield record
        ended = "FINISHED"
    finally:
        client.set_terminated(run, ended)


def metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of a row of the history that were measured."""
    return {name: value for name, value in row.items() if name != "step" and value is not None}

"""TensorBoard and MLflow are told the history that history.parquet holds, and can end no run."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from pydantic import ValidationError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sentiment.errors import TrainingError
from sentiment.model.config import TrainConfig
from sentiment.training.checkpoints import Checkpoints
from sentiment.training.tracking import EXPERIMENT, tracked
from tests.support.bundles import TRAIN, Trained, train_again
from tests.support.reviews import rows_of

ROWS: list[dict[str, Any]] = [
    {"step": 10, "epoch": 0.5, "train_loss": 0.7, "validation_loss": None},
    {"step": 20, "epoch": 1.0, "train_loss": 0.5, "validation_loss": 0.6},
]
LOSSES = [(10, pytest.approx(0.7)), (20, pytest.approx(0.5))]
NAME = "train-0123"


def boarded(folder: Path, figure: str) -> list[tuple[int, float]]:
    """Return (step, value) as TensorBoard reads them."""
    board = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in board.Scalars(figure)]


def runs(address: str) -> list[Run]:
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def logged(address: str, run: Run, figure: str) -> list[tuple[int, float]]:
    """Return (step, value) as MLflow has them."""
    history = MlflowClient(address).get_metric_history(run.info.run_id, figure)
    return [(metric.step, metric.value) for metric in history]


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def track(config: TrainConfig, rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> None:
    with tracked(config, NAME, settings) as record:
        for row in rows:
            record(row)


class TestTensorBoard:
    def test_it_reads_the_figures_that_were_measured(self, tmp_path: Path) -> None:
        track(TrainConfig(tensorboard=str(tmp_path)), ROWS, {})
        assert boarded(tmp_path / NAME, "train_loss") == LOSSES
        assert boarded(tmp_path / NAME, "validation_loss") == [(20, pytest.approx(0.6))]

    def test_a_training_that_resumes_shows_each_step_once(self, tmp_path: Path) -> None:
        config = TrainConfig(tensorboard=str(tmp_path))
        track(config, ROWS, {})
        track(config, ROWS, {})
        assert boarded(tmp_path / NAME, "train_loss") == LOSSES

    def test_the_settings_are_there(self, tmp_path: Path) -> None:
        track(TrainConfig(tensorboard=str(tmp_path)), ROWS, {"train": {"epochs": 3}})
        board = EventAccumulator(str(tmp_path / NAME)).Reload()
        (event,) = board.Tensors("settings/text_summary")
        assert b"| train.epochs | 3 |" in event.tensor_proto.string_val[0]


class TestMlflow:
    def test_it_has_the_figures_and_the_settings(self, address: str) -> None:
        track(TrainConfig(mlflow=address), ROWS, {"train": {"epochs": 3}})
        (run,) = runs(address)
        assert (run.info.run_name, run.info.status) == (NAME, "FINISHED")
        assert run.data.params == {"train.epochs": "3"}
        assert logged(address, run, "train_loss") == LOSSES
        assert logged(address, run, "validation_loss") == [(20, pytest.approx(0.6))]

    def test_a_training_that_failed_resumes_in_its_run(self, address: str) -> None:
        config = TrainConfig(mlflow=address)
        with (
            pytest.raises(TrainingError),
            tracked(config, NAME, {"seed": 1}) as record,
        ):
            record(ROWS[0])
            raise TrainingError("stopped")
        assert [run.info.status for run in runs(address)] == ["FAILED"]
        track(config, ROWS, {"seed": 1})
        (run,) = runs(address)
        assert run.info.status == "FINISHED"
        assert logged(address, run, "train_loss") == LOSSES

    def test_a_training_that_is_done_again_has_a_run_of_its_own(self, address: str) -> None:
        for _ in range(2):
            track(TrainConfig(mlflow=address), ROWS, {})
        assert [logged(address, run, "train_loss") for run in runs(address)] == [LOSSES, LOSSES]


class TestTrackersThatFail:
    def test_a_server_that_is_down_is_left_out_with_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        config = TrainConfig(tensorboard=str(tmp_path), mlflow="http://127.0.0.1:9")
        with caplog.at_level(logging.WARNING, "sentiment.training.tracking"):
            track(config, ROWS, {})
        (warning,) = [r for r in caplog.records if r.name == "sentiment.training.tracking"]
        assert warning.getMessage().startswith("MLflow gets no more of this training's history: ")
        assert boarded(tmp_path / NAME, "train_loss") == LOSSES

    def test_one_that_goes_down_is_left_out_from_then_on(
        self, tmp_path: Path, address: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        config = TrainConfig(tensorboard=str(tmp_path), mlflow=address)
        with (
            caplog.at_level(logging.WARNING, "sentiment.training.tracking"),
            tracked(config, NAME, {}) as record,
        ):
            record(ROWS[0])
            database = tmp_path / "mlflow.db"
            database.write_bytes(b"no database" * 1000)
            record(ROWS[1])
            record({**ROWS[1], "step": 30})
        warnings = [
            r.getMessage() for r in caplog.records if r.name == "sentiment.training.tracking"
        ]
        assert all(w.startswith("MLflow gets no more") for w in warnings)
        assert len(warnings) == 2  # one for the row, one for the end
        assert len(boarded(tmp_path / NAME, "train_loss")) == 3

    def test_a_file_where_the_folder_should_be(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        with caplog.at_level(logging.WARNING, "sentiment.training.tracking"):
            track(TrainConfig(tensorboard=str(tmp_path / "file")), ROWS, {})
        assert "TensorBoard gets no more" in caplog.text


class TestInTraining:
    def test_both_have_what_the_history_has_after_a_stop(
        self, trained: Trained, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        where = {"tensorboard": str(tmp_path / "board"), "mlflow": address}
        often = {"log_every": 3, "checkpoint_every": 4}
        save, saved = Checkpoints.save, []

        def stop_at_the_second(self: Checkpoints, step: int, *state: Any) -> None:
            save(self, step, *state)
            saved.append(step)
            if len(saved) == 2:
                raise TrainingError("stopped")

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", stop_at_the_second)
            with pytest.raises(TrainingError):
                train_again(trained, tmp_path / "out", tmp_path / NAME, **often, **where)
        train_again(trained, tmp_path / "out", tmp_path / NAME, **often, **where)
        table = rows_of(tmp_path / "out" / "history.parquet")
        expected = [(row[0], pytest.approx(row[2])) for row in table]
        assert saved == [4, 8]
        assert len(expected) > 4
        assert boarded(tmp_path / "board" / NAME, "train_loss") == expected
        (run,) = runs(address)
        assert logged(address, run, "train_loss") == expected
        assert run.data.params["train.model.pooling"] == TRAIN.model.pooling

    def test_the_bundle_does_not_change_by_it(self, trained: Trained, tmp_path: Path) -> None:
        train_again(trained, tmp_path / "plain", tmp_path / "1")
        train_again(
            trained, tmp_path / "tracked", tmp_path / "2", tensorboard=str(tmp_path / "board")
        )
        for path in (tmp_path / "plain").iterdir():
            assert path.read_bytes() == (tmp_path / "tracked" / path.name).read_bytes()


class TestSettings:
    def test_a_tracker_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sentiment.model.config.find_spec", lambda name: None)
        with pytest.raises(ValidationError, match=r"tensorboard is not installed: pip install"):
            TrainConfig(tensorboard="runs")
        with pytest.raises(ValidationError, match=r"mlflow is not installed: pip install"):
            TrainConfig(mlflow="http://127.0.0.1:5000")

    def test_a_password_in_the_address_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="MLFLOW_TRACKING_PASSWORD"):
            TrainConfig(mlflow="https://me:secret@mlflow.example")

    def test_they_are_not_in_the_key(self) -> None:
        assert TrainConfig(tensorboard="runs").output_settings() == TrainConfig().output_settings()

"""Studies: they choose by validation alone, stop and resume, prune, and outlive failures."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from filelock import FileLock
from optuna.trial import TrialState
from prefect.exceptions import CancelledRun

from flows.config.presets import load_config
from flows.run.stage_timeout import StageTimeoutError
from flows.study import (
    ERROR,
    STARTUP,
    VALUES,
    PruningCallback,
    finished,
    importances,
    next_trial,
    open_study,
    rounded,
    summary,
)
from sentiment.errors import ConfigError, StageError
from tasks.manifest import Manifest
from tasks.run.config import Dimension
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store.store import MANIFEST, Store
from tests.support.runs import collect_garbage, run_plainly

ABOUT = {"settings": "a", "data": "b"}
SPACE = {
    "train.learning_rate": Dimension(low=0.001, high=0.1, log=True),
    "train.model.hidden_size": Dimension(choices=(8, 16)),
}


def loss_of(values: dict[str, Any]) -> float:
    """A stand-in for training, lowest at a rate of 0.01."""
    loss: float = (
        abs(values["train.learning_rate"] - 0.01) + values["train.model.hidden_size"] / 1e4
    )
    return loss


def go_on(study: optuna.Study, trials: int) -> None:
    while len(finished(study)) < trials:
        trial, values = next_trial(study, SPACE)
        study.tell(trial, loss_of(values))


def told(study: optuna.Study) -> list[tuple[dict[str, Any], float | None]]:
    return [(dict(trial.values), trial.loss) for trial in summary(study)]


def test_a_stopped_study_ends_like_one_that_was_not(tmp_path: Path) -> None:
    whole = open_study(tmp_path, "whole", ABOUT)
    go_on(whole, 12)
    for done in (3, 11, 12):  # stopped inside and after the sampler's random start
        stopped = open_study(tmp_path, "stopped", ABOUT)
        go_on(stopped, done)
        if done < 12:
            next_trial(stopped, SPACE)  # begun, and never told
    assert told(stopped) == told(whole)


def test_a_trial_killed_between_two_choices_is_tried_again(tmp_path: Path) -> None:
    whole, killed = (open_study(tmp_path, name, ABOUT) for name in ("whole", "killed"))
    go_on(whole, 2)
    killed.sampler = optuna.samplers.TPESampler(seed=0)
    killed.ask()
    go_on(open_study(tmp_path, "killed", ABOUT), 2)
    assert told(killed) == told(whole)


def test_a_number_is_tried_and_noted_with_few_digits(tmp_path: Path) -> None:
    study = open_study(tmp_path, "mine", ABOUT)
    for _ in range(6):
        trial, values = next_trial(study, SPACE)
        rate = values["train.learning_rate"]
        assert (
            rate == float(f"{rate:.4g}") == pytest.approx(trial.params["train.learning_rate"], 1e-3)
        )
        assert values["train.model.hidden_size"] in (8, 16)
        study.tell(trial, loss_of(values))
        assert summary(study)[-1].values == values


def test_a_rounded_number_stays_within_its_limits() -> None:
    narrow = Dimension(low=0.12346, high=0.12348)
    assert [rounded(value, narrow) for value in (0.12347, 0.12348)] == [0.12348, 0.12348]
    assert rounded(0.00123456, Dimension(low=0, high=1)) == 0.001235
    assert rounded(65_537, Dimension(low=1, high=1_000_000)) == 65_537  # a whole number
    assert rounded(0.123456, Dimension(choices=(0.123456, 1.0))) == 0.123456


def test_another_question_needs_another_study(tmp_path: Path) -> None:
    open_study(tmp_path, "mine", ABOUT)
    open_study(tmp_path, "mine", ABOUT)
    with pytest.raises(ConfigError, match=r"started with something else \(data\).*--study"):
        open_study(tmp_path, "mine", {**ABOUT, "data": "c"})
    with pytest.raises(ConfigError, match="letters, digits"):
        open_study(tmp_path, "../mine", ABOUT)


def test_only_a_trial_above_the_median_is_pruned(tmp_path: Path) -> None:
    study = open_study(tmp_path, "mine", ABOUT)
    for _ in range(STARTUP):
        trial, _ = next_trial(study, SPACE)
        callback = PruningCallback(trial)
        for place, loss in ((1, 0.5), (2, 0.4)):
            callback(place, 2, loss=9.0, validation_loss=loss, validations=place)
        study.tell(trial, 0.4)
    good = PruningCallback(next_trial(study, SPACE)[0])
    good(1, 2, loss=9.0)
    good(1, 2, validation_loss=0.45, validations=1)
    bad = PruningCallback(next_trial(study, SPACE)[0])
    with pytest.raises(optuna.TrialPruned, match=r"pruned at 1 of 2 reviews.*0\.6000"):
        bad(1, 2, validation_loss=0.6, validations=1)


def test_importance_needs_some_trials_and_sums_to_one(tmp_path: Path) -> None:
    study = open_study(tmp_path, "mine", ABOUT)
    go_on(study, 2)
    assert importances(study) == {}
    go_on(study, 12)
    assert sum(importances(study).values()) == pytest.approx(1)


PRESET = {
    "sample": {"train": 300, "test": 120, "seed": 1},
    "ingest": {"shard_size": 100},
    "train": {
        "model": {"embedding_size": 8, "hidden_size": 8},
        "epochs": 3,
        "batch_size": 32,
        "device": "cpu",
    },
    "run": {"runner": "threads"},
    # A rate that learns nothing, good ones, and one whose loss is not a number. The sampler's seeds
    # take the second twice, the third, the last, the third, the fourth, the first, the last.
    "tune": {"train.learning_rate": {"choices": [1e-9, 0.02, 0.01, 0.005, 1e38]}},
}
TRIALS = 8


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> dict[str, Any]:
    """Run a study once; the arguments and the result."""
    from flows.tune import tune

    folder = tmp_path_factory.mktemp("tune")
    preset = folder / "tiny.yaml"
    preset.write_text(yaml.safe_dump(PRESET))
    arguments = {
        "preset": str(preset),
        "storage": str(folder / "storage"),
        "trials": TRIALS,
        "out": str(folder / "best.yaml"),
    }
    return {"arguments": arguments, "result": tune(**arguments), "folder": folder}


def trained(storage: Path) -> list[Manifest]:
    paths = sorted(storage.glob(f"train/*/{MANIFEST}"))
    return [Manifest.from_json(path.read_bytes()) for path in paths]


def opened(study: dict[str, Any]) -> optuna.Study:
    file = study["folder"] / "storage/tune/tiny-tuned.db"
    return optuna.load_study(study_name="tiny-tuned", storage=f"sqlite:///{file}")


def test_every_trial_ends_as_it_should(study: dict[str, Any]) -> None:
    result, trials = study["result"], opened(study).trials
    states = Counter(trial.state for trial in trials)
    assert sum(result["trials"].values()) == TRIALS == len(trials)
    assert states == {TrialState.COMPLETE: 5, TrialState.PRUNED: 1, TrialState.FAIL: 2}
    for trial in trials:
        rate = trial.params["train.learning_rate"]
        assert (trial.state is TrialState.FAIL) == (rate == 1e38)
        if trial.state is TrialState.FAIL:
            assert "loss is" in trial.user_attrs[ERROR]
    best = min((t for t in trials if t.value is not None), key=lambda t: t.value or 0.0)
    assert (result["validation_loss"], result["values"]) == (best.value, best.user_attrs[VALUES])


def test_a_pruned_trial_stops_early(study: dict[str, Any]) -> None:
    pruned = [t for t in opened(study).trials if t.state is TrialState.PRUNED]
    assert pruned
    assert all(list(trial.intermediate_values) == [1] for trial in pruned)  # of 3 epochs
    complete = [t for t in opened(study).trials if t.state is TrialState.COMPLETE]
    assert all(list(trial.intermediate_values) == [1, 2, 3] for trial in complete)
    assert not list((study["folder"] / "storage/checkpoints").glob("*"))


def test_equal_settings_are_trained_once(study: dict[str, Any]) -> None:
    complete = [t for t in opened(study).trials if t.state is TrialState.COMPLETE]
    rates = {trial.params["train.learning_rate"] for trial in complete}
    assert len(trained(study["folder"] / "storage")) == len(rates) < len(complete)


def test_every_trained_model_has_a_card(study: dict[str, Any]) -> None:
    folder = study["folder"] / "storage/train"
    for manifest in trained(study["folder"] / "storage"):
        card = (folder / manifest.key / "README.md").read_text()
        assert f"accuracy {manifest.stats['validation_accuracy']:.2%}" in card.replace("\xa0", "")
        rate = manifest.config["train"]["learning_rate"]
        assert f"| train.learning\\_rate | {rate} |" in card


def test_nothing_is_scored_on_the_test_reviews(study: dict[str, Any]) -> None:
    storage = study["folder"] / "storage"
    assert not (storage / "evaluate").exists()
    assert not (storage / "models/latest").exists()
    for manifest in trained(storage):
        assert not [name for name in manifest.inputs if "test" in name]


def test_the_best_preset_gives_the_best_loss_again(study: dict[str, Any], tmp_path: Path) -> None:
    path = study["result"]["preset"]
    config = load_config(path)
    assert config.tune == {}
    done = run_plainly(RunSpec(path, config, None, Store(tmp_path)), until="train")
    assert done["train"][0].stats["validation_loss"] == study["result"]["validation_loss"]
    assert "not measured yet on test reviews" in Path(path).read_text()


def test_the_report_shows_the_study(study: dict[str, Any]) -> None:
    page = Path(study["result"]["report"]).read_text()
    assert page.count("<svg") >= 2
    assert page.count("<td>pruned</td>") == study["result"]["trials"]["pruned"]


def test_gc_leaves_a_study_and_its_results(study: dict[str, Any]) -> None:
    store = Store(study["folder"] / "storage")
    freed = collect_garbage(store, dry_run=True)
    assert [entry.path for entry in freed if entry.path.split("/")[0] in ("tune", "train")] == []


def test_the_same_again_tries_nothing_more_and_says_the_same(study: dict[str, Any]) -> None:
    from flows.tune import tune

    assert tune(**study["arguments"]) == study["result"]
    assert len(opened(study).trials) == TRIALS


def test_interrupted_it_resumes_to_the_same_end(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.tune import tune

    storage, out = tmp_path / "storage", tmp_path / "best.yaml"
    arguments = {**study["arguments"], "trials": 4, "storage": str(storage), "out": str(out)}
    calls = Counter[str]()

    def interrupted(
        callback: PruningCallback, done: int, total: int | None = None, **figures: float
    ) -> None:
        calls["steps"] += 1
        if calls["steps"] == 12:  # in the second epoch of the first trial that learns
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PruningCallback, "__call__", interrupted)
        with pytest.raises(CancelledRun):  # of which the command makes KeyboardInterrupt again
            tune(**arguments)
    assert not out.exists()
    result = tune(**arguments)
    whole = [(t.params, t.state, t.value) for t in finished(opened(study))]
    file = storage / "tune/tiny-tuned.db"
    again = optuna.load_study(study_name="tiny-tuned", storage=f"sqlite:///{file}")
    assert [(t.params, t.state, t.value) for t in finished(again)] == whole[:4]
    assert sum(result["trials"].values()) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "article"}, "has nothing to tune"),
        ({"out": "best.txt"}, r"ends in \.yaml"),
        ({"out": "tiny.yaml"}, "exists and does not belong to the study"),
        ({"overrides": ["train.epochs=2"]}, r"started with something else \(settings\)"),
    ],
)
def test_what_can_only_end_badly_is_refused_first(
    study: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    message: str,
) -> None:
    from flows.tune import tune

    monkeypatch.chdir(study["folder"])
    with pytest.raises(ConfigError, match=message):
        tune(**{**study["arguments"], **change})


def test_one_process_at_a_time(study: dict[str, Any]) -> None:
    from flows.tune import tune

    with (
        FileLock(study["folder"] / "storage/tune/tiny-tuned.lock"),
        pytest.raises(ConfigError, match="Another process is running the study"),
    ):
        tune(**study["arguments"])


def test_no_trial_starts_after_the_time_limit(study: dict[str, Any]) -> None:
    from flows.tune import tune

    result = tune(**{**study["arguments"], "trials": TRIALS + 5, "timeout": 0})
    assert sum(result["trials"].values()) == TRIALS


def test_trials_run_under_the_settings_of_runs(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retries, the time limit and the GPU pool hold for a study's stages as for a run's."""
    from flows.run import work as runner
    from flows.tune import tune

    given: list[tuple[str, int, float]] = []
    sent: list[str] = []
    run_requests = runner.run_requests

    def recorded(stage: Stage, *arguments: Any, **options: Any) -> list[Manifest]:
        given.append((stage.name, options["retries"], options["retry_delay"]))
        return run_requests(stage, *arguments, **options)

    def elsewhere(requests: list[Request], *_: Any, store: Store, run: str, **__: Any) -> None:
        sent.extend(store.build(request, run=run).manifest.stage for request in requests)

    monkeypatch.setattr(runner, "run_requests", recorded)
    monkeypatch.setattr(runner, "train_remotely", elsewhere)
    arguments = {**study["arguments"], "trials": 1, "study": "other", "storage": str(tmp_path)}
    overrides = ["run.retries=5", "run.retry_delay=0.5", "run.train_on=gpu-pool", "train.epochs=1"]
    result = tune(**{**arguments, "out": str(tmp_path / "best.yaml")}, overrides=overrides)
    assert result["trials"] == {"complete": 1, "pruned": 0, "failed": 0}
    assert {(retries, delay) for _, retries, delay in given} == {(5, 0.5)}
    assert [name for name, *_ in given][-1] == "train"
    assert sent == ["train"]


def test_a_trial_that_takes_too_long_fails_and_the_study_continues(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.run import work as runner
    from flows.tune import tune

    @contextmanager
    def expired(seconds: float | None, stage: str) -> Iterator[None]:
        assert seconds == 60
        if stage == "train":
            raise StageTimeoutError("train took too long")
        yield

    monkeypatch.setattr(runner, "deadline", expired)
    arguments = {**study["arguments"], "trials": 2, "study": "slow", "storage": str(tmp_path)}
    arguments |= {"out": str(tmp_path / "best.yaml"), "overrides": ["run.stage_timeout=60"]}
    with pytest.raises(StageError, match="No trial of the study slow"):
        tune(**arguments)
    database = f"sqlite:///{tmp_path / 'tune/slow.db'}"
    trials = optuna.load_study(study_name="slow", storage=database).trials
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 2
    assert {trial.user_attrs[ERROR] for trial in trials} == {"train took too long"}

"""Promotion on the pipeline's way: who is champion after which run, and what is run for it."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer.main
from rich.console import Console
from typer.testing import CliRunner

from flows.cli.main import app
from flows.config.presets import load_config, set_where
from flows.run.decision import Selection
from flows.run.plan import look_ahead
from flows.run.quality_gates import check_promotion, check_training
from sentiment.errors import GateError, ModelError
from sentiment.model.bundle import Bundle
from sentiment.model.registry import CHAMPION, model_folder
from tasks.manifest import Manifest
from tasks.registry.champion import apply_verdict, promote_by_hand, read_registry, roll_back
from tasks.registry.models import find_model, list_models
from tasks.run.spec import RunSpec
from tasks.store import Store
from tasks.store.run_records import RunRecord, new_run_id
from tests.support.reviews import good_lines, write_bz2, write_small_data
from tests.support.runs import TINY, collect_garbage, run_plainly

MakeSpec = Callable[..., RunSpec]
Done = dict[str, list[Manifest]]

# On the small data, where a word decides: one epoch guesses, many reach all of it.
GUESSING = ("train.epochs=1", "train.learning_rate=1e-6")
LEARNING = ("train.epochs=12", "train.learning_rate=0.05", "vocabulary.min_count=1")


def run(spec: RunSpec, until: str = "promote") -> Done:
    return run_plainly(spec, until)


def verdict(done: Done) -> dict[str, Any]:
    return done["promote"][0].stats


def keys(done: Done) -> dict[str, list[str]]:
    return {stage: [manifest.key for manifest in manifests] for stage, manifests in done.items()}


def champion(store: Store) -> str:
    now = read_registry(store).champion
    assert now is not None
    return now.model


def model_of(done: Done) -> str:
    return f"train/{done['train'][0].key}"


def report_of(store: Store, done: Done) -> str:
    return (store.root / done["report"][0].output("report.html").path).read_text()


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """Run a model that guesses, once for all tests; return the storage, to be copied."""
    folder = tmp_path_factory.mktemp("worse")
    config = load_config("sample", [*TINY, *GUESSING])
    spec = RunSpec("sample", config, write_small_data(folder / "data"), Store(folder / "storage"))
    return spec.store.root, run(spec, until="report")


@pytest.fixture
def worse(make_spec: MakeSpec, data: Path, once: tuple[Path, Done]) -> tuple[RunSpec, Done]:
    """Begin with a first run, of a model that guesses."""
    spec = make_spec(data, *GUESSING)
    storage, done = once
    shutil.copytree(storage, spec.store.root)
    return spec, done


def test_first_better_worse(make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]) -> None:
    spec, first = worse
    assert verdict(first)["outcome"] == "promoted"
    assert champion(spec.store) == model_of(first)
    better = run(make_spec(data, *LEARNING))
    assert verdict(better)["outcome"] == "promoted"
    assert verdict(better)["champion"]["model"] == model_of(first)
    assert verdict(better)["accuracy"] > verdict(first)["accuracy"]
    assert champion(spec.store) == model_of(better)
    assert "champion" not in better  # measured on these reviews already

    again = run(spec, until="report")
    assert verdict(again)["outcome"] == "kept"
    assert champion(spec.store) == model_of(better)
    low, high = (verdict(done) for done in (first, better))
    assert verdict(again)["reason"] == (
        f"champion kept: {low['accuracy']:.2%} against {high['accuracy']:.2%} "
        f"(MCC {low['mcc']:.3f} against {high['mcc']:.3f}), worse"
    )
    assert "It is worse than the champion so far: " in report_of(spec.store, again)


def test_the_report_draws_the_champion_by_its_own_answers(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    spec, first = worse
    unknown = run(make_spec(data, *LEARNING), until="report")
    for done in (first, unknown):  # the first met no champion; of the other's no run is recorded
        assert done["report"][0].inputs["champion_predictions"] == []
    roll_back(spec.store, who="me", why="to promote it again")
    record = RunRecord(spec.store, "a run")
    record.stage("evaluate", {"metrics": first["evaluate"][0].key})
    record.finish("completed")
    done = run(make_spec(data, *LEARNING, "train.seed=5"), until="report")
    (asked,) = done["report"][0].inputs["champion_predictions"]
    assert asked["sha256"] == first["evaluate"][0].output("predictions.parquet").sha256
    assert report_of(spec.store, done).count("champion so far</text>") == 2  # in both curves


def test_nothing_new_is_all_cached(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    spec, first = worse
    register = (spec.store.root / CHAMPION).read_bytes()
    assert keys(run(spec, until="report")) == keys(first)
    assert {planned.state for planned in look_ahead(spec, Selection()).stages} == {"cached"}
    again = apply_verdict(spec.store, first["promote"][0], first["train"][0], "another run")
    assert again is not None and again.outcome == "champion"
    assert "is the champion already" in again.reason
    assert (spec.store.root / CHAMPION).read_bytes() == register
    better = make_spec(data, *LEARNING)
    second = run(better)
    assert keys(run(better)) == keys(second)


def test_a_gain_that_is_too_small(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    spec, first = worse
    done = run(make_spec(data, *LEARNING, "promote.min_gain=1"))
    assert verdict(done)["outcome"] == "kept"
    assert "an MCC more than 1 higher needed" in verdict(done)["reason"]
    assert champion(spec.store) == model_of(first)


def test_another_limit_asks_anew_and_the_champion_stays(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    spec, first = worse
    done = run(make_spec(data, *GUESSING, "promote.min_gain=0.1"))
    assert verdict(done)["outcome"] == "champion"
    assert champion(spec.store) == model_of(first)


def test_on_other_test_reviews_the_champion_is_measured_first(
    make_spec: MakeSpec, data: Path
) -> None:
    spec = make_spec(data, *LEARNING)
    first = run(spec)
    write_bz2(data / "test.ft.txt.bz2", good_lines(30, start=300))
    # Another model on other reviews: the champion's old accuracy says nothing about it.
    other = make_spec(data, *GUESSING)
    assert {p.stage: p.state for p in look_ahead(other, Selection()).stages}["promote"] == "maybe"
    done = run(other, until="report")
    (measured,) = done["champion"]
    shards = [spec.store.root / shard.path for shard in done["ingest"][0].outputs]
    shards = [path for path in shards if path.name.startswith("test-")]
    assert measured.stats["rows"] == sum(pq.read_metadata(path).num_rows for path in shards) == 15
    assert verdict(done)["champion"]["accuracy"] == measured.stats["accuracy"]
    assert verdict(done)["champion"]["model"] == model_of(first) == champion(spec.store)
    assert verdict(done)["outcome"] == "kept"
    planned = {p.stage: p.state for p in look_ahead(other, Selection()).stages}
    assert planned == dict.fromkeys(planned, "cached")
    assert "champion" in planned
    assert keys(run(other, until="report")) == keys(done)


def test_a_champion_measured_as_texts_is_as_good_as_it_was(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    """The oracle: the evaluation of the same model on the same reviews, from tensors."""
    better = make_spec(data, *LEARNING, "evaluate.threshold=0.4")  # measured at another threshold
    done = run(better)
    scored = run(make_spec(data, *GUESSING, "evaluate.threshold=0.4"), until="evaluate")
    for name in ("rows", "accuracy", "mcc"):
        assert done["champion"][0].stats[name] == scored["evaluate"][0].stats[name]


def test_the_same_model_on_other_test_reviews_stays_champion(
    make_spec: MakeSpec, data: Path
) -> None:
    write_bz2(data / "validation.ft.txt.bz2", good_lines(20, start=800))
    spec = make_spec(data, *GUESSING)
    first = run(spec)
    write_bz2(data / "test.ft.txt.bz2", good_lines(30, start=300))
    second = run(make_spec(data, *GUESSING))
    assert model_of(second) == model_of(first)
    assert verdict(second)["outcome"] == "champion"
    assert "champion" not in second


def test_generated_reviews_replace_no_model_of_real_ones(
    make_spec: MakeSpec, worse: tuple[RunSpec, Done]
) -> None:
    spec, first = worse
    done = run(make_spec(None))
    assert verdict(done)["outcome"] == "kept"
    assert "champion" not in done
    assert champion(spec.store) == model_of(first)


def test_any_real_model_that_passes_the_gates_replaces_a_generated_one(
    make_spec: MakeSpec, data: Path
) -> None:
    generated = run(make_spec(None))
    assert verdict(generated)["outcome"] == "promoted"
    refused = run(make_spec(data, *GUESSING, "promote.beat_majority=true"))
    assert verdict(refused)["outcome"] == "refused"
    assert champion(make_spec(data).store) == model_of(generated)
    spec = make_spec(data, *GUESSING, "promote.min_gain=1")
    done = run(spec)
    assert "champion" not in done  # its figures do not matter
    assert verdict(done)["outcome"] == "promoted"
    assert "in place of a model of generated reviews" in verdict(done)["reason"]
    assert champion(spec.store) == model_of(done)
    assert keys(run(spec)) == keys(done)


def test_a_generated_champion_without_figures_is_still_a_generated_one(
    make_spec: MakeSpec, data: Path
) -> None:
    """As one that was promoted by hand before anything evaluated it."""
    generated = run(make_spec(None), until="train")
    spec = make_spec(data)
    promote_by_hand(spec.store, model_of(generated), None, who="me", why="to see")
    done = run(spec)
    assert "in place of a model of generated reviews" in verdict(done)["reason"]


def test_a_champion_of_another_name_is_judged_apart(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    """The best model of one product stands in no other one's way."""
    spec, first = worse
    better = run(make_spec(data, *LEARNING))
    shoes = make_spec(data, *GUESSING, "promote.champion=shoes")
    assert {p.state for p in look_ahead(shoes, Selection()).stages} == {
        "cached"
    }  # the same verdict
    assert not look_ahead(shoes, Selection()).nothing_to_do
    done = run(shoes)
    assert verdict(done)["reason"].endswith("the first champion")
    assert champion(spec.store) == model_of(better)
    named = read_registry(spec.store, "shoes").champion
    assert named is not None and named.model == model_of(first)
    assert keys(run(shoes)) == keys(done)
    assert look_ahead(shoes, Selection()).nothing_to_do
    after = run(make_spec(data, *LEARNING, "promote.champion=shoes"))
    assert verdict(after)["champion"]["model"] == model_of(first)
    assert verdict(after)["outcome"] == "promoted"
    listed = sentiment(spec.store, "list").splitlines()
    assert [line for line in listed if "champion, champion of shoes" in line]
    rolled = sentiment(spec.store, "rollback", "--champion", "shoes", "--why", "no")
    assert rolled == f"{model_of(first)} is the champion of shoes again.\n"
    assert champion(spec.store) == model_of(better)


def test_after_a_rollback_the_model_is_not_promoted_again(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    spec, first = worse
    better = make_spec(data, *LEARNING)
    run(better)
    roll_back(spec.store, who="Ada", why="wrong on refunds")
    done = run(better, until="report")
    assert verdict(done)["outcome"] == "kept"
    assert "by Ada: wrong on refunds" in report_of(spec.store, done)
    assert champion(spec.store) == model_of(first)
    assert verdict(run(spec))["outcome"] == "champion"


def test_the_champion_and_the_one_before_it_outlive_gc(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done]
) -> None:
    spec, first = worse
    second = run(make_spec(data, *LEARNING))
    RunRecord(spec.store, new_run_id()).finish("completed")
    collect_garbage(spec.store)
    kept = {f"train/{path.name}" for path in (spec.store.root / "train").iterdir()}
    assert kept == {model_of(first), model_of(second)}
    assert not list((spec.store.root / "tokenize").iterdir())
    assert roll_back(spec.store, who="Ada", why="").model == model_of(first)


def test_a_champion_changed_meanwhile_is_met_instead(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run promotes between the decision and the promotion: it is decided again."""

    spec, _ = worse
    best = make_spec(data, *LEARNING)
    rival = make_spec(data, *GUESSING, "train.seed=2")
    run(rival, until="evaluate")
    best_done: list[Done] = []

    def apply_late(store: Store, *about: Any) -> Any:
        if not best_done:
            best_done.append({})  # so that this run settles as usual
            best_done[0] = run(best)
        return apply_verdict(store, *about)

    monkeypatch.setattr("flows.steps.apply_verdict", apply_late)
    done = run(rival)
    assert verdict(done)["champion"]["model"] == model_of(best_done[0]) == champion(spec.store)
    assert verdict(done)["outcome"] == "kept"


def test_below_the_least_accuracy_the_run_fails_after_its_report(
    make_spec: MakeSpec, data: Path
) -> None:
    spec = make_spec(data, *GUESSING, "promote.min_accuracy=0.95")
    done = run(spec, until="report")
    accuracy = verdict(done)["accuracy"]
    assert accuracy < 0.95
    report = spec.store.root / done["report"][0].output("report.html").path
    with pytest.raises(GateError) as caught:
        check_promotion(spec, done, report, lambda key: f"where {key} is set")
    assert str(caught.value) == (
        f"Gate promote.min_accuracy: accuracy {accuracy:.6g} is below 0.95 (where "
        f"promote.min_accuracy is set). The model is {spec.store.root / model_of(done)}, its "
        f"report {report}. It was not promoted. To accept it anyway, run again with "
        "--set promote.min_accuracy=null"
    )
    assert caught.value.accept == ("promote.min_accuracy=null",)
    with pytest.raises(GateError, match=r"\. It was not promoted") as caught:
        check_promotion(spec, done, report.with_name("not yet"), lambda key: "somewhere")
    assert "report" not in str(caught.value)
    assert read_registry(spec.store).champion is None
    with pytest.raises(ModelError, match="no model here yet"):
        model_folder(None, spec.store.root)


def test_a_model_that_learned_nothing_fails_the_run_and_stays(
    make_spec: MakeSpec, data: Path
) -> None:
    spec = make_spec(data, *GUESSING, "train.max_loss=0.2")
    (trained,) = run(spec, until="train")["train"]
    with pytest.raises(
        GateError, match=r"train\.max_loss: validation loss 0\.6[89]\d\d is not below"
    ):
        check_training(spec, trained, str)
    assert (spec.store.root / model_of({"train": [trained]}) / "model.safetensors").is_file()
    # The limit shapes no byte: without it the model is the same.
    free = make_spec(data, *GUESSING, "train.max_loss=null")
    check_training(free, trained, str)
    assert run(free, until="train")["train"][0].key == trained.key


def test_all_gates_that_fail_are_named_and_accepting_them_promotes(
    make_spec: MakeSpec, data: Path
) -> None:
    gates = ("promote.beat_majority=true", "promote.match_baseline=true")
    spec = make_spec(data, *GUESSING, *gates, "promote.min_accuracy=1")
    done = run(spec)
    with pytest.raises(GateError) as caught:
        check_promotion(spec, done, Path("none"), lambda key: "set here")
    failed = set(verdict(done)["gates"])
    assert {"promote.min_accuracy", "promote.beat_majority"} <= failed
    assert all(f"Gate {gate}: " in str(caught.value) for gate in failed)
    accepted = run(make_spec(data, *GUESSING, *gates, *caught.value.accept))
    assert verdict(accepted)["outcome"] == "promoted"
    assert model_of(accepted) == model_of(done) == champion(spec.store)


@pytest.mark.parametrize("loss", [0.7, float("inf"), float("nan")])
def test_the_loss_gate_lets_nothing_odd_through(
    make_spec: MakeSpec, data: Path, worse: tuple[RunSpec, Done], loss: float
) -> None:
    from dataclasses import replace

    _, done = worse
    trained = replace(done["train"][0], stats={"validation_loss": loss})
    with pytest.raises(GateError):
        check_training(make_spec(data, "train.max_loss=0.6931"), trained, str)


def test_where_a_setting_is_set(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("promote: {min_accuracy: 0.8}\ntrain: {max_loss: null}\n")
    key = "promote.min_accuracy"
    assert set_where(str(preset), [], {}, key) == f"set in the preset {preset}"
    assert set_where(str(preset), [], {}, "train.max_loss") == f"set in the preset {preset}"
    assert set_where(str(preset), [f"{key}=0.9"], {}, key) == "set by an override"
    assert set_where(str(preset), ["train={max_loss: 1}"], {}, "train.max_loss") == (
        "set by an override"
    )
    assert set_where(str(preset), [], {}, "promote.min_gain") == "the default"
    assert set_where(str(preset), [], {"promote": {"min_gain": 0}}, "promote.min_gain") == (
        "set in the run's settings"
    )


def sentiment(store: Store, *arguments: str) -> str:
    """Run a command of `sentiment models` and return what it prints."""
    result = CliRunner().invoke(
        app, ["models", *arguments, "--storage", str(store.root)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def key_of(done: Done) -> str:
    return done["train"][0].key[:8]


def test_models_on_the_command_line(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data, *GUESSING)
    store = spec.store
    assert "No models yet" in sentiment(store, "list")
    first = run(spec)
    second = run(make_spec(data, *LEARNING))
    run(make_spec(data, "train.seed=5"), until="train")

    def listed() -> dict[str, Any]:
        entries = json.loads(sentiment(store, "list", "--json"))["models"]
        return {entry["model"]: entry for entry in entries}

    assert len(listed()) == 3
    assert [name for name, entry in listed().items() if entry["champion"]] == [model_of(second)]
    assert listed()[model_of(first)]["was"]
    assert listed()[model_of(first)]["measured"]["accuracy"] == verdict(first)["accuracy"]
    (other,) = set(listed()) - {model_of(first), model_of(second)}
    assert (listed()[other]["measured"], listed()[other]["was"]) == (None, False)
    head, *rows = sentiment(store, "list").splitlines()
    assert head.split() == ["model", "trained", "(UTC)", "data", "preset", "test", "linear"]
    lines = {row.split()[0]: row for row in rows}
    assert lines[key_of(second)].endswith("  champion")
    assert lines[key_of(first)].endswith("  was champion")
    assert f"{verdict(first)['accuracy']:.2%}" in lines[key_of(first)]

    entry = json.loads(sentiment(store, "promote", other, "--why", "to try it", "--json"))
    assert (entry["model"], entry["why"], entry["how"]) == (other, "to try it", "hand")
    assert entry["who"]
    assert model_folder(None, store.root) == store.root / other
    assert model_folder(Path("my/model"), store.root) == Path("my/model")
    assert model_folder(Path(Path(other).name[:9]), store.root) == store.root / other
    assert sentiment(store, "rollback", "--why", "no good") == (
        f"{model_of(second)} is the champion again.\n"
    )
    assert champion(store) == model_of(second)


def test_a_champion_of_generated_reviews_is_named_where_it_is_chosen(
    make_spec: MakeSpec, data: Path
) -> None:
    store = make_spec(None).store
    generated, warning = run(make_spec(None)), "this model was trained on generated reviews"

    def said(*arguments: str) -> str:
        command = ["models", *arguments, "--storage", str(store.root)]
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stderr

    assert said("list").count(warning) == 1
    assert "generated" in sentiment(store, "list").splitlines()[0]
    real = run(make_spec(data, *LEARNING))
    assert champion(store) == model_of(real)
    assert said("list") == ""
    of_generated = [
        Bundle.load(store.root / model_of(d)).config.generated for d in (generated, real)
    ]
    assert of_generated == [True, False]
    assert said("rollback", "--why", "to see").count(warning) == 1
    assert champion(store) == model_of(generated)
    assert said("promote", model_of(real), "--why", "it is real") == ""
    assert said("promote", model_of(generated), "--why", "to see").count(warning) == 1


def test_a_model_is_found_by_any_of_its_names(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data, *GUESSING)
    done = run(spec, until="train")
    model = model_of(done)
    key = done["train"][0].key
    for name in (key, key[:5], model, str(spec.store.root / model), f"{model}/"):
        assert find_model(spec.store, name).model == model
    run(make_spec(data, "train.seed=2"), until="train")
    for name, problem in (("", "matches 2 models"), ("nothing", "matches no model")):
        with pytest.raises(ModelError, match=problem):
            find_model(spec.store, name)


def test_latest_is_a_name_too(make_spec: MakeSpec, data: Path) -> None:
    from tasks.store.atomic import point_to

    spec = make_spec(data)
    run(make_spec(data, "train.seed=2"), until="train")
    done = run(spec, until="train")
    point_to(spec.store.root, "models/latest", model_of(done))
    assert find_model(spec.store, "models/latest").model == model_of(done)
    assert [model.latest for model in list_models(spec.store)].count(True) == 1


def test_the_commands_that_change_the_champion_ask_why() -> None:
    group = typer.main.get_command(app).commands["models"]  # type: ignore[attr-defined]
    for name in ("promote", "rollback"):
        assert any(p.name == "why" and p.required for p in group.commands[name].params)


@pytest.mark.usefixtures("prefect_server")
def test_a_run_decides_again_when_the_champion_changed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.pipeline import pipeline
    from flows.ui.reporters import LineReporter, chosen

    calls: list[str] = []

    def apply_late(store: Store, decided: Manifest, *about: Any) -> Any:
        calls.append(decided.key)
        return apply_verdict(store, decided, *about) if len(calls) > 1 else None

    monkeypatch.setattr("flows.steps.apply_verdict", apply_late)
    lines = io.StringIO()
    token = chosen.set(LineReporter(Console(file=lines, width=200)))
    try:
        result = pipeline(
            data=str(data), storage=str(tmp_path / "s"), overrides=list(TINY), until="promote"
        )
    finally:
        chosen.reset(token)
    assert len(calls) == 2
    assert result["promotion"]["outcome"] == "promoted"
    assert "promote    again, since the champion changed in the meantime" in lines.getvalue()
    assert [stage["stage"] for stage in result["stages"]].count("promote") == 1

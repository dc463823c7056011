"""Stage ``report``: one request, from what the stages before it found."""

from tasks.champion import answers_of_champion
from tasks.data_quality import data_quality
from tasks.run.spec import Done, RunSpec
from tasks.stage import Inputs, Request, Stage

STAGE = Stage(
    "report",
    "sentiment.reports.report:write_report",
    reads=(
        "ingest",
        "vocabulary",
        "tensors",
        "train",
        "evaluate",
        "baseline",
        "duplicates",
        "promote",
    ),
    libraries=("matplotlib",),
)
WORDS = {
    "title": "its title changed",
    "generated": "ingest's output changed",
    "details": "train's output changed",
    "details.Vocabulary": "vocabulary's output changed",
    "details.Evaluated on": "evaluate's output changed",
    "quality.files": "ingest's output changed",
    "quality.splits": "tensors's output changed",
}


def requests(spec: RunSpec, done: Done) -> list[Request]:
    (vocabulary,), (trained,) = done["vocabulary"], done["train"]
    (evaluated,), (decided,) = done["evaluate"], done["promote"]
    (baseline,), (duplicates,) = done["baseline"], done["duplicates"]
    weights = trained.output("model.safetensors").sha256
    details = {
        "Training reviews": f"{trained.stats['rows']:,}",
        "Vocabulary": f"{vocabulary.stats['size']:,} entries",
        "Parameters": f"{trained.stats['parameters']:,}",
        "Steps": f"{trained.stats['steps']:,}",
        "Best at step": f"{trained.stats['best_step']:,}",
        "Trained on": trained.stats["device"],
        "Evaluated on": evaluated.stats["device"],
        # What the stages' keys hold too; other versions and times are in a run's copy of the
        # report, since that of an equal model must be the same.
        **{f"Version of {name}": version for name, version in trained.libraries.items()},
        "Weights (sha256)": weights[:16],
    }
    covered = trained.stats["vectors"]
    if covered:
        details["Word vectors"] = (
            f"for {covered['words']:.1%} of the vocabulary, {covered['tokens']:.1%} of the "
            "training tokens"
        )
    inputs: Inputs = {
        "metrics": evaluated.output("metrics.json"),
        "predictions": evaluated.output("predictions.parquet"),
        "mistakes": evaluated.output("mistakes.parquet"),
        "suspects": evaluated.output("suspects.parquet"),
        "history": trained.output("history.parquet"),
        "config": trained.output("config.json"),
        "promotion": decided.output("promotion.json"),
        "baseline": baseline.output("baseline.json"),
        "baseline_predictions": baseline.output("predictions.parquet"),
        "champion_predictions": answers_of_champion(spec, done),
        "duplicates": duplicates.output("duplicates.json"),
    }
    settings = {
        "evaluate": spec.config.evaluate,
        "title": spec.title,
        "generated": spec.generated,
        "details": details,
        "quality": data_quality(done["ingest"], done["tensors"]),
    }
    return [Request(STAGE, "report", inputs, settings, WORDS)]

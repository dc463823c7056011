"""Stage ``report``: one request, from what the stages before it found."""

from collections.abc import Sequence

from sentiment.recipe import EvaluateConfig
from tasks.manifest import Manifest
from tasks.stage import Request, Stage

STAGE = Stage(
    "report",
    "sentiment.report:write_report",
    reads=("train", "evaluate", "promote"),
    libraries=("matplotlib",),
)


def requests(
    config: EvaluateConfig,
    *,
    title: str,
    generated: bool,
    ingested: Sequence[Manifest],
    vocabulary: Manifest,
    trained: Manifest,
    evaluated: Manifest,
    decided: Manifest,
) -> list[Request]:
    """Ask for the report; ``generated`` says that the reviews were made up."""
    rejected = sum(sum(manifest.facts["rejected"].values()) for manifest in ingested)
    facts = {
        "Lines read": f"{sum(manifest.facts['read'] for manifest in ingested):,}",
        "Lines rejected": f"{rejected:,}",
        "Training reviews": f"{trained.facts['rows']:,}",
        "Vocabulary": f"{vocabulary.facts['size']:,} entries",
        "Parameters": f"{trained.facts['parameters']:,}",
        "Steps": f"{trained.facts['steps']:,}",
        "Best at step": f"{trained.facts['best_step']:,}",
        "Device": evaluated.facts["device"],
    }
    covered = trained.facts["vectors"]
    if covered:
        facts["Word vectors"] = (
            f"for {covered['words']:.1%} of the vocabulary, {covered['tokens']:.1%} of the "
            "training tokens"
        )
    inputs = {
        "metrics": evaluated.output("metrics.json"),
        "mistakes": evaluated.output("mistakes.parquet"),
        "history": trained.output("history.parquet"),
        "recipe": trained.output("config.json"),
        "promotion": decided.output("promotion.json"),
    }
    settings = {"evaluate": config, "title": title, "generated": generated, "facts": facts}
    return [Request(STAGE, "report", inputs, settings)]

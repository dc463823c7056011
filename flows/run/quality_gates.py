"""Quality gates: a run fails if its model does not reach them. Its results are kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sentiment.errors import GateError
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec

WhereSet = Callable[[str], str]  # where a setting is set


def check_training(spec: RunSpec, trained: Manifest, where_set: WhereSet) -> None:
    """Raise GateError if the best validation loss is not below ``train.max_loss``."""
    limit, loss = spec.config.train.max_loss, trained.stats["validation_loss"]
    if limit is not None and not loss < limit:
        raise GateError(
            f"Gate train.max_loss: validation loss {loss:.4f} is not below {limit:.4f} "
            f"({where_set('train.max_loss')}), so the model learned nothing. The model is kept in "
            f"{spec.store.root / trained.stage / trained.key}; to evaluate it anyway: "
            "--set train.max_loss=null"
        )


def check_promotion(
    spec: RunSpec, manifests: Mapping[str, Sequence[Manifest]], report: Path, where_set: WhereSet
) -> None:
    """Raise GateError if the test accuracy is below ``promote.min_accuracy``.

    ``report`` is named if it exists.
    """
    (decided,), (trained,) = manifests["promote"], manifests["train"]
    promotion, root = decided.stats, spec.store.root
    if promotion["outcome"] == "refused":
        named = f", its report {report}" if report.exists() else ""
        raise GateError(
            f"Gate promote.min_accuracy: {promotion['reason']} "
            f"({where_set('promote.min_accuracy')}). The model is "
            f"{root / trained.stage / trained.key}{named}. It was not promoted."
        )

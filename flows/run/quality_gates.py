"""Quality gates: a run fails if its model does not reach them. Its results are kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sentiment.errors import GateError
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec

WhereSet = Callable[[str], str]  # where a setting is set
# The value that switches a gate off.
OFF = {
    "promote.min_accuracy": "null",
    "promote.beat_majority": "false",
    "promote.match_baseline": "false",
}


def check_training(spec: RunSpec, trained: Manifest, where_set: WhereSet) -> None:
    """Raise GateError if the best validation loss is not below ``train.max_loss``."""
    limit, loss = spec.config.train.max_loss, trained.stats["validation_loss"]
    if limit is not None and not loss < limit:
        raise _failed(
            f"Gate train.max_loss: validation loss {loss:.4f} is not below {limit:.4f} "
            f"({where_set('train.max_loss')}); guessing has 0.6931. The model is kept in "
            f"{spec.store.place(f'{trained.stage}/{trained.key}')}.",
            ["train.max_loss=null"],
        )


def check_promotion(
    spec: RunSpec, manifests: Mapping[str, Sequence[Manifest]], report: Path, where_set: WhereSet
) -> None:
    """Raise GateError if the stage ``promote`` refused the model.

    ``report`` is named if it exists.
    """
    (decided,), (trained,) = manifests["promote"], manifests["train"]
    promotion, model = decided.stats, spec.store.place(f"{trained.stage}/{trained.key}")
    if promotion["outcome"] == "refused":
        gates = promotion["gates"]
        faults = [f"Gate {gate}: {why} ({where_set(gate)})." for gate, why in gates.items()]
        if "promote.match_baseline" in gates and spec.config.train.model.ngrams is None:
            faults.append("The preset balanced adds such a linear model to the LSTM.")
        named = f", its report {report}" if report.exists() else ""
        raise _failed(
            f"{' '.join(faults)} The model is {model}{named}. It was not promoted.",
            [f"{gate}={OFF[gate]}" for gate in gates],
        )


def _failed(what: str, accept: Sequence[str]) -> GateError:
    options = " ".join(f"--set {setting}" for setting in accept)
    error = GateError(f"{what} To accept it anyway, run again with {options}")
    error.accept = tuple(accept)
    return error

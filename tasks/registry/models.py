"""The trained models of a storage folder."""

from contextlib import suppress
from dataclasses import dataclass, field

from sentiment.errors import ModelError
from sentiment.model.registry import DEFAULT, LATEST
from tasks.manifest import Manifest
from tasks.registry.champion import Measured, digest_of, measured_in, read_registries
from tasks.store.run_records import read_runs
from tasks.store.store import Store


@dataclass(frozen=True)
class Origin:
    """What the records of runs say of a model; None where they do not, or are gone.

    ``data`` is the path of the reviews; ``baseline`` the test accuracy of the
    linear model trained on the same reviews.
    """

    preset: str | None = None
    data: str | None = None
    baseline: float | None = None


@dataclass(frozen=True)
class Model:
    """A model bundle: its path under the root, its digest, when and by which run it was trained.

    ``measured`` is the latest evaluation. ``generated``: was trained on generated reviews;
    ``champion``: is the champion; ``champions``: the names of all champions that it is; ``was``:
    is or was one; ``latest``: the last run trained it or found it cached.
    """

    model: str
    digest: str
    created: str
    run: str
    measured: Measured | None
    generated: bool
    champion: bool
    champions: tuple[str, ...]
    was: bool
    latest: bool
    origin: Origin = field(default_factory=Origin)

    @property
    def key(self) -> str:
        return self.model.rpartition("/")[2]


def list_models(store: Store) -> list[Model]:
    """Return all models, newest first."""
    registries = read_registries(store)
    ever = {entry.digest for registry in registries for entry in registry.entries}
    latest = store.target(LATEST)
    measured = {
        promotion.stats["candidate"]["digest"]: measured_in(promotion.stats)
        for promotion in store.results("promote")
    }
    origins = _origins(store)
    models = []
    for trained in store.results("train"):
        digest = digest_of(trained)
        model = f"{trained.stage}/{trained.key}"
        champions = tuple(
            r.name for r in registries if r.champion is not None and r.champion.digest == digest
        )
        models.append(
            Model(
                model=model,
                digest=digest,
                created=trained.created,
                run=trained.run,
                measured=measured.get(digest),
                generated=of_generated(trained, measured.get(digest)),
                champion=DEFAULT in champions,
                champions=champions,
                was=digest in ever,
                latest=model == latest,
                origin=origins.get(trained.key, Origin()),
            )
        )
    return models[::-1]


def _origins(store: Store) -> dict[str, Origin]:
    """Return what the newest run that used each model says of it, by the model's key."""
    origins: dict[str, Origin] = {}
    for run in read_runs(store):
        keys = {name: stage["results"].values() for name, stage in run["stages"].items()}
        baseline = None
        for key in keys.get("baseline", ()):
            with suppress(OSError, ValueError, KeyError):
                baseline = float(store.read("baseline", key).stats["accuracy"])
        for key in keys.get("train", ()):
            if key not in origins or origins[key].baseline is None:
                known = origins.get(key, Origin(run.get("preset"), run.get("data")))
                origins[key] = Origin(known.preset, known.data, baseline)
    return origins


def of_generated(trained: Manifest, measured: Measured | None) -> bool:
    """Return whether a model was trained on generated reviews."""
    # Older manifests do not say so; their models were evaluated on reviews of the same kind.
    known = measured is not None and measured.generated
    return bool(trained.config.get("generated", known))


def find_model(store: Store, name: str) -> Model:
    """Find a model by key (or unique prefix), path, or ``latest``.

    Raises ModelError if there is none, or more than one.
    """
    models = list_models(store)
    key = name.rstrip("/").rpartition("/")[2]
    found = [m for m in models if (m.latest if key == "latest" else m.key.startswith(key))]
    if key and len(found) == 1:
        return found[0]
    known = ", ".join(model.key for model in found or models) or "none yet"
    problem = f"matches {len(found)} models" if found else "matches no model"
    raise ModelError(f"{name!r} {problem}. Models in {store.place('train')}: {known}.")

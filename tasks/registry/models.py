"""The trained models of a storage folder."""

from dataclasses import dataclass

from sentiment.errors import ModelError
from sentiment.model.registry import LATEST
from tasks.registry.champion import Measured, digest_of, measured_in, read_registry
from tasks.store.store import Store


@dataclass(frozen=True)
class Model:
    """A model bundle: its path under the root, its digest, when and by which run it was trained.

    ``measured`` is the latest evaluation. ``champion``: is the champion; ``was``: is or was one;
    ``latest``: the last run trained it or found it cached.
    """

    model: str
    digest: str
    created: str
    run: str
    measured: Measured | None
    champion: bool
    was: bool
    latest: bool


def list_models(store: Store) -> list[Model]:
    """Return all models, newest first."""
    registry = read_registry(store)
    ever = {entry.digest for entry in registry.entries}
    champion = registry.champion
    latest = (store.root / LATEST).resolve()
    measured = {
        promotion.stats["candidate"]["digest"]: measured_in(promotion.stats)
        for promotion in store.results("promote")
    }
    models = []
    for trained in store.results("train"):
        digest = digest_of(trained)
        model = f"{trained.stage}/{trained.key}"
        models.append(
            Model(
                model=model,
                digest=digest,
                created=trained.created,
                run=trained.run,
                measured=measured.get(digest),
                champion=champion is not None and champion.digest == digest,
                was=digest in ever,
                latest=store.root / model == latest,
            )
        )
    return models[::-1]


def find_model(store: Store, name: str) -> Model:
    """Find a model by key (or unique prefix), path, or ``latest``.

    Raises ModelError if there is none, or more than one.
    """
    models = list_models(store)
    key = name.rstrip("/").rpartition("/")[2]
    found = [m for m in models if (m.latest if key == "latest" else _key(m).startswith(key))]
    if key and len(found) == 1:
        return found[0]
    known = ", ".join(_key(model) for model in models) or "none yet"
    problem = f"matches {len(found)} models" if found else "matches no model"
    raise ModelError(f"{name!r} {problem}. Models in {store.root / 'train'}: {known}.")


def _key(model: Model) -> str:
    return model.model.rpartition("/")[2]

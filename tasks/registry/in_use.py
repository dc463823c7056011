"""The model in use at a place, as a folder of this machine."""

from pathlib import Path

from sentiment.errors import ModelError
from sentiment.model.bundle_files import bundle_digest
from sentiment.model.registry import DEFAULT, LATEST, model_folder, names_in, not_promoted
from tasks.registry.champion import MODELS, bundle_folder, read_registry
from tasks.registry.models import find_model
from tasks.store import Store


def bundle_at(model: Path | None, place: str | Path) -> Path:
    """Return the bundle to use from a storage folder or URL; of a URL it is fetched.

    ``model`` is a bundle's folder, a champion's name or the start of a model's key; without it, the
    champion is used, or the latest model if there is none. Raises ModelError or StorageError.
    """
    store = Store.at(place)
    if store.objects is None or (model is not None and (model.exists() or len(model.parts) != 1)):
        return model_folder(model, store.root)
    names = names_in(store.names(MODELS))
    if model is not None and model.name not in names:
        return bundle_folder(store, find_model(store, model.name).model)
    champion = read_registry(store, model.name if model else DEFAULT).champion
    if champion is not None:
        folder = bundle_folder(store, champion.model)
        if bundle_digest(folder) != champion.digest:
            raise not_promoted(store.place(champion.model), found=True)
        return folder
    if names:
        raise ModelError(
            f"{store.place()}: no champion {DEFAULT!r} here, but {', '.join(names)}. Name one with "
            "--model."
        )
    latest = store.target(LATEST)
    if latest is None:
        raise ModelError(
            f"{store.place()}: no model here yet. Train one with `sentiment run`, or choose "
            "another storage, for example with SENTIMENT_STORAGE."
        )
    return bundle_folder(store, latest)

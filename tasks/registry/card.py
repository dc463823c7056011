"""The model card, ``README.md`` in a bundle.

Not an output of ``train``: test metrics come later, and rewording the card must not retrain.
"""

import json

from sentiment.model.bundle_files import CARD, CONFIG
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.store import Store


def put_first_card(spec: RunSpec, trained: Manifest) -> None:
    """Write a card without test metrics, unless the bundle has one."""
    store, path = spec.store, card_of(trained)
    if store.get(path) is None:
        from sentiment.reports.model_card import render_first_card  # which loads torch
        from sentiment.reports.sections import GENERATED_NOTE

        settings = json.loads(store.file(trained.output(CONFIG)).read_bytes())
        note = GENERATED_NOTE if spec.generated else None
        store.put(path, render_first_card(spec.title, note, trained.stats, settings))


def put_card(store: Store, trained: Manifest, reported: Manifest) -> None:
    """Copy the card that the stage ``report`` wrote into the bundle."""
    store.put(card_of(trained), store.file(reported.output(CARD)).read_text(encoding="utf-8"))


def card_of(trained: Manifest) -> str:
    """Return the path of a model's card in the storage."""
    return f"{trained.stage}/{trained.key}/{CARD}"

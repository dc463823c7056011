"""The model card, ``README.md`` in a bundle.

Not an output of ``train``: test metrics come later, and rewording the card must not retrain.
"""

import json

from sentiment.model.bundle_files import CARD, CONFIG
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.store import Store
from tasks.store.atomic import write_atomically


def put_first_card(spec: RunSpec, trained: Manifest) -> None:
    """Write a card without test metrics, unless the bundle has one."""
    folder = spec.store.root / trained.stage / trained.key
    if not (folder / CARD).exists():
        from sentiment.reports.model_card import render_first_card  # which loads torch
        from sentiment.reports.sections import GENERATED_NOTE

        settings = json.loads((folder / CONFIG).read_bytes())
        note = GENERATED_NOTE if spec.generated else None
        write_atomically(
            folder / CARD, render_first_card(spec.title, note, trained.stats, settings)
        )


def put_card(store: Store, trained: Manifest, reported: Manifest) -> None:
    """Copy the card that the stage ``report`` wrote into the bundle."""
    card = (store.root / reported.output(CARD).path).read_text(encoding="utf-8")
    write_atomically(store.root / trained.stage / trained.key / CARD, card)

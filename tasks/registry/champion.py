"""The model registry: the champion (the model in use), who promoted it and why, and its history.

``models/champion.json`` in the storage holds all of it and is replaced in one step: under a lock
in a folder, and in remote storage only if it is still as it was read. A champion with a name of its
own has ``models/<name>.json`` beside it.
"""

import getpass
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sentiment.errors import ModelError
from sentiment.evaluation.promotion import Candidate, Incumbent, PromoteConfig, Verdict
from sentiment.model.bundle_files import SUMS, check_bundle
from sentiment.model.registry import (
    CHAMPION_FORMAT,
    DEFAULT,
    champion_file,
    names_in,
    parse_champions,
    unreadable,
)
from sentiment.settings import Settings
from tasks.manifest import Manifest
from tasks.store.objects import Seen
from tasks.store.run_records import record_lock
from tasks.store.store import Store

MODELS = "models"  # folder of the champions' files


class Measured(Settings):
    """A model's figures and what it was measured on: see ``promotion.Candidate``."""

    tests: str
    threshold: float | None
    generated: bool
    rows: int
    accuracy: float
    mcc: float | None = None  # in entries of older versions


class Entry(Settings):
    """One change of champion.

    ``model`` is the bundle's path under the storage root, ``digest`` the bundle's digest. A run
    that promotes also records its id, its limits and the champion it met.
    """

    model: str
    digest: str
    how: Literal["run", "hand", "rollback"]
    who: str
    why: str
    when: str
    measured: Measured | None
    run: str | None = None
    limits: PromoteConfig | None = None
    met: Incumbent | None = None


@dataclass(frozen=True)
class Registry:
    """All changes of the champion of this name, oldest first, and the file as it was read."""

    entries: tuple[Entry, ...] = ()
    name: str = DEFAULT
    seen: Seen | None = field(default=None, compare=False)

    @property
    def champion(self) -> Entry | None:
        return self.entries[-1] if self.entries else None

    def line(self) -> list[Entry]:
        """Return the champions that rollbacks would lead to in turn; the present one is last."""
        return self._replay()[0]

    def rolled_back(self) -> dict[str, str]:
        """Return who rolled back from which model (by digest), and why."""
        return self._replay()[1]

    def _replay(self) -> tuple[list[Entry], dict[str, str]]:
        line: list[Entry] = []
        rolled_back: dict[str, str] = {}
        for entry in self.entries:
            if entry.how == "rollback":
                if len(line) < 2:
                    raise ValueError("it begins with a rollback")
                rolled_back[line.pop().digest] = f"by {entry.who}: {entry.why}"
                line[-1] = entry
            else:
                rolled_back.pop(entry.digest, None)
                line.append(entry)
        return line, rolled_back


def read_registries(store: Store) -> list[Registry]:
    """Read the registries of all champions that there are, in the order of their names."""
    return [read_registry(store, name) for name in names_in(store.names(MODELS))]


def read_registry(store: Store, name: str = DEFAULT) -> Registry:
    """Read a champion's registry; raises StorageError if the file is damaged."""
    path = champion_file(name)
    try:
        seen = store.get(path)
    except OSError as error:
        raise unreadable(store.place(path), error) from error
    if seen is None:
        return Registry(name=name)
    content = parse_champions(seen.content, store.place(path))
    try:
        entries = [Entry.model_validate(e) for e in [*content["earlier"], content["champion"]]]
        registry = Registry(tuple(entries), name, seen)
        registry.line()
    except (ValueError, TypeError, KeyError) as error:
        raise unreadable(store.place(path), error) from error
    return registry


def apply_verdict(
    store: Store, decided: Manifest, trained: Manifest, run: str, name: str = DEFAULT
) -> Verdict | None:
    """Carry out what ``promote`` decided on the champion of this name; return the final verdict.

    None if the champion changed in the meantime; the caller must decide again.
    """
    content = decided.stats
    candidate = Candidate.model_validate(content["candidate"])
    met = content["champion"] and Incumbent.model_validate(content["champion"])
    verdict = Verdict(content["outcome"], content["reason"])
    with record_lock(store):
        registry = read_registry(store, name)
        champion = registry.champion
        if champion is not None and champion.digest == candidate.digest:
            if verdict.outcome != "promoted":
                return verdict
            return Verdict("champion", f"is the champion already: {content['accuracy']:.2%}")
        if (champion and champion.digest) != (met and met.digest):
            return None
        if verdict.outcome == "promoted":
            entry = Entry(
                model=f"{trained.stage}/{trained.key}",
                digest=candidate.digest,
                how="run",
                who=user(),
                why=verdict.reason,
                when=_now(),
                measured=measured_in(content),
                run=run,
                limits=PromoteConfig.model_validate(decided.config["promote"]),
                met=met,
            )
            if not _write(store, registry, entry):
                return None
    return verdict


def is_settled(store: Store, decided: Manifest, name: str = DEFAULT) -> bool:
    """Return whether ``apply_verdict`` would change nothing: neither the champion nor its mind."""
    content, champion = decided.stats, read_registry(store, name).champion
    if champion is not None and champion.digest == content["candidate"]["digest"]:
        return True
    met = content["champion"] and content["champion"]["digest"]
    return bool(content["outcome"] != "promoted" and (champion and champion.digest) == met)


def promote_by_hand(
    store: Store, model: str, measured: Measured | None, *, who: str, why: str, name: str = DEFAULT
) -> Entry:
    """Make a model (its path under the root) a champion; raises ModelError if it cannot be."""

    def appoint(registry: Registry) -> Entry:
        digest = check_bundle(bundle_folder(store, model))
        if registry.champion is not None and registry.champion.digest == digest:
            raise ModelError(f"{model} is the champion already.")
        return Entry(
            model=model, digest=digest, how="hand", who=who, why=why, when=_now(), measured=measured
        )

    return _change(store, name, appoint)


def roll_back(store: Store, *, who: str, why: str, name: str = DEFAULT) -> Entry:
    """Make the previous champion the champion again. No run promotes the present one again.

    Raises ModelError if there is no previous champion or its bundle is gone.
    """

    def step_back(registry: Registry) -> Entry:
        line = registry.line()
        if len(line) < 2:
            raise ModelError(f"There is no earlier champion{of(name)} to roll back to.")
        before = line[-2]
        if check_bundle(bundle_folder(store, before.model)) != before.digest:
            raise ModelError(f"{before.model} is no longer the model that was champion.")
        return Entry(
            model=before.model,
            digest=before.digest,
            how="rollback",
            who=who,
            why=why,
            when=_now(),
            measured=before.measured,
        )

    return _change(store, name, step_back)


def _change(store: Store, name: str, decide: Callable[[Registry], Entry]) -> Entry:
    """Add the entry that is decided on; decide again if others changed the champion meanwhile."""
    while True:
        with record_lock(store):  # so that `gc` removes nothing
            registry = read_registry(store, name)
            entry = decide(registry)
            if _write(store, registry, entry):
                return entry


def measured_in(promotion: dict[str, Any]) -> Measured:
    """Return the candidate's accuracy from the content of a ``promotion.json``."""
    candidate = promotion["candidate"]
    names = ("tests", "threshold", "generated")
    return Measured(
        **{name: candidate[name] for name in names},
        rows=promotion["rows"],
        accuracy=promotion["accuracy"],
        mcc=promotion.get("mcc"),
    )


def bundle_of(store: Store, model: str) -> Manifest:
    """Return the manifest of a model; raises ModelError if the model is gone or damaged."""
    stage, _, key = model.partition("/")
    try:
        return store.read(stage, key)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{store.place(model)}: not a complete model bundle. `sentiment models list` shows "
            "the models, `sentiment models promote` makes one the champion."
        ) from error


def bundle_folder(store: Store, model: str) -> Path:
    """Return a model's folder on this machine; raises ModelError if the model is gone."""
    store.bring(bundle_of(store, model).outputs, verify=True)
    return store.root / model


def digest_of(trained: Manifest) -> str:
    """Return the digest of the bundle that ``train`` wrote."""
    return trained.output(SUMS).sha256


def of(name: str) -> str:
    """Return what tells a champion from the default one in a message."""
    return "" if name == DEFAULT else f" of {name}"


def user() -> str:
    """Return the user's name, or the number if there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _write(store: Store, registry: Registry, entry: Entry) -> bool:
    """Add an entry to a champion's file; return whether it was still as it was read."""
    content = {
        "format": CHAMPION_FORMAT,
        "champion": entry.model_dump(mode="json"),
        "earlier": [each.model_dump(mode="json") for each in registry.entries],
    }
    text = json.dumps(content, indent=1) + "\n"
    return store.swap(champion_file(registry.name), text, registry.seen)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

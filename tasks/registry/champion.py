"""The champion: the model in use, who promoted it and why, and the champions before it.

``<root>/models/champion.json`` holds all of it, and is replaced in one step.
"""

import getpass
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sentiment.errors import ModelError
from sentiment.evaluation.promotion import Candidate, Opponent, PromoteConfig, Verdict
from sentiment.model.registry import CHAMPION, CHAMPION_FORMAT, read_champions, unreadable
from sentiment.settings import Settings
from tasks.manifest import Manifest, digest_file, digest_outputs
from tasks.store.atomic import write_atomically
from tasks.store.run_records import record_lock
from tasks.store.store import MANIFEST, Store


class Measured(Settings):
    """A model's accuracy, and on what: see :class:`sentiment.evaluation.promotion.Candidate`."""

    tests: str
    threshold: float
    generated: bool
    rows: int
    accuracy: float


class Entry(Settings):
    """One change of champion.

    ``model`` is the bundle's path under the storage root, ``digest`` that of its bytes. A run that
    promotes notes its id, its limits and the champion that it met.
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
    met: Opponent | None = None


@dataclass(frozen=True)
class Register:
    """All changes of champion, the oldest first."""

    entries: tuple[Entry, ...] = ()

    @property
    def champion(self) -> Entry | None:
        return self.entries[-1] if self.entries else None

    def line(self) -> list[Entry]:
        """Return the champion, last, and before it those that rollbacks would lead to in turn."""
        return self._replay()[0]

    def withdrawn(self) -> dict[str, str]:
        """Return who rolled back from which model (by digest), and why."""
        return self._replay()[1]

    def _replay(self) -> tuple[list[Entry], dict[str, str]]:
        line: list[Entry] = []
        withdrawn: dict[str, str] = {}
        for entry in self.entries:
            if entry.how == "rollback":
                withdrawn[line.pop().digest] = f"by {entry.who}: {entry.why}"
                line[-1] = entry
            else:
                withdrawn.pop(entry.digest, None)
                line.append(entry)
        return line, withdrawn


def read_register(store: Store) -> Register:
    """Read who is and was champion; raises StorageError for a damaged file."""
    content = read_champions(store.root)
    if content is None:
        return Register()
    try:
        entries = [Entry.model_validate(e) for e in [*content["earlier"], content["champion"]]]
    except (ValueError, TypeError, KeyError) as error:
        raise unreadable(store.root / CHAMPION, error) from error
    return Register(tuple(entries))


def apply_verdict(store: Store, decided: Manifest, trained: Manifest, run: str) -> Verdict | None:
    """Do what the stage ``promote`` decided on a model, and return what has become of it.

    None when the champion is no longer the one that was met, so that it has to be decided anew.
    """
    content = decided.stats
    candidate = Candidate.model_validate(content["candidate"])
    met = content["champion"] and Opponent.model_validate(content["champion"])
    verdict = Verdict(content["outcome"], content["reason"])
    with record_lock(store):
        register = read_register(store)
        champion = register.champion
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
            _write(store, register, entry)
    return verdict


def promote_by_hand(
    store: Store, model: str, measured: Measured | None, *, who: str, why: str
) -> Entry:
    """Make a model (its path under the root) the champion; ModelError when it cannot be."""
    with record_lock(store):  # `gc` removes nothing meanwhile
        register = read_register(store)
        digest = digest_bundle(store, model)
        if register.champion is not None and register.champion.digest == digest:
            raise ModelError(f"{model} is the champion already.")
        entry = Entry(
            model=model, digest=digest, how="hand", who=who, why=why, when=_now(), measured=measured
        )
        return _write(store, register, entry)


def roll_back(store: Store, *, who: str, why: str) -> Entry:
    """Make the champion before this one champion again; no run promotes this one any more.

    Raises ModelError when there was none before or its bundle is gone.
    """
    with record_lock(store):
        register = read_register(store)
        line = register.line()
        if len(line) < 2:
            raise ModelError("There is no champion to roll back to.")
        before = line[-2]
        if digest_bundle(store, before.model) != before.digest:
            raise ModelError(f"{before.model} is no longer the model that was champion.")
        entry = Entry(
            model=before.model,
            digest=before.digest,
            how="rollback",
            who=who,
            why=why,
            when=_now(),
            measured=before.measured,
        )
        return _write(store, register, entry)


def measured_in(promotion: dict[str, Any]) -> Measured:
    """Return what the content of a ``promotion.json`` says of the candidate."""
    candidate = promotion["candidate"]
    names = ("tests", "threshold", "generated")
    return Measured(
        **{name: candidate[name] for name in names},
        rows=promotion["rows"],
        accuracy=promotion["accuracy"],
    )


def bundle_manifest(store: Store, model: str) -> Manifest:
    """Return the manifest of a model's training; raises ModelError when the model is gone."""
    try:
        return Manifest.from_json((store.root / model / MANIFEST).read_bytes())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{store.root / model}: no whole model bundle is here. `sentiment models list` shows "
            "those that there are, `sentiment models promote` makes one the champion."
        ) from error


def digest_bundle(store: Store, model: str) -> str:
    """Read a model's files and return their digest; raises ModelError for a damaged one."""
    manifest = bundle_manifest(store, model)
    for artifact in manifest.outputs:
        path = store.root / artifact.path
        if not path.is_file() or digest_file(path) != artifact.sha256:
            raise ModelError(f"{path} is missing or damaged. Train the model again.")
    return digest_outputs([manifest])


def user() -> str:
    """Return the name of the user, or the number where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _write(store: Store, register: Register, entry: Entry) -> Entry:
    content = {
        "format": CHAMPION_FORMAT,
        "champion": entry.model_dump(mode="json"),
        "earlier": [each.model_dump(mode="json") for each in register.entries],
    }
    write_atomically(store.root / CHAMPION, json.dumps(content, indent=1) + "\n")
    return entry


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

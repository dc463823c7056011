"""Why a stage runs: what differs between a request and the last one with its label."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentiment.settings import flatten
from tasks.manifest import Manifest
from tasks.run.config import PipelineConfig
from tasks.stage import Request
from tasks.store import Lookup
from tasks.store.run_records import Earlier

_DIGEST = re.compile("[0-9a-f]{64}")
_LONG = 40  # characters of a value that is not shown
_COMPARED = 50  # requests by which the closest earlier run is found


def explain(request: Request, found: Lookup, previous: Manifest | None) -> list[str]:
    """Return why a request has to run.

    ``found`` is what the store has for it, ``previous`` the last result with the same label.
    """
    if found.damage:
        return [found.damage]
    if previous is None:
        return ["first run"]
    return differences(previous, request) or ["its result is no longer in the storage folder"]


def closest(requests: Sequence[Request], earlier: Sequence[Earlier]) -> Mapping[str, Manifest]:
    """Return the manifests, by label, of the earlier run that these requests differ least from.

    One of the same preset and data if there is one; among equal ones the newest.
    """

    def distance(run: Earlier) -> tuple[int, int, int]:
        known = [(run.manifests.get(request.label), request) for request in requests[:_COMPARED]]
        changes = {c for before, now in known if before for c in differences(before, now)}
        return run.strange, sum(before is None for before, _ in known), len(changes)

    return min(earlier, key=distance).manifests if earlier else {}


def differences(previous: Manifest, request: Request) -> list[str]:
    """List what changed since a result was made: settings, code, libraries, inputs."""
    now = request.ingredients
    changes, derived = _changed_config(previous.config, now["config"], request)
    files = sorted({name.split(":")[0] for name, *_ in _changed(previous.code, now["code"])})
    if files:
        changes.append(f"code changed in {_some(files)}")
    changes += [
        f"{name} {_show(old)} -> {_show(new)}"
        for name, old, new in _changed(previous.libraries, now["libraries"])
    ]
    changes += _changed_inputs(previous.inputs, now["inputs"])
    return list(dict.fromkeys(changes + derived))


def summarise(reasons: Sequence[Sequence[str]], total: int, pieces: str = "shards") -> str:
    """Join the reasons of a stage's requests that run; ``total`` includes the cached ones."""
    different = dict.fromkeys(reason for request in reasons for reason in request)
    share = f"{len(reasons)} of {total} {pieces}: " if len(reasons) < total else ""
    return f"{share}{_some(list(different), '; ')}"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _changed_config(
    old: Mapping[str, Any], new: Mapping[str, Any], request: Request
) -> tuple[list[str], list[str]]:
    """List the preset's settings that differ, the stage's own first, and what else differs."""
    first = request.stage.name
    settings, derived = [], []
    for section in sorted({*old, *new}, key=lambda name: (name != first, name)):
        before, after = ({section: each.get(section)} for each in (old, new))
        for key, was, now in _changed(flatten(before), flatten(after)):
            if section in PipelineConfig.model_fields:
                settings.append(_change(key, was, now))
            else:
                words = _words(request.words, key) or f"{section} changed"
                derived.append(words.format(was=_show(was), now=_show(now)))
    return settings, derived


def _change(key: str, was: Any, now: Any) -> str:
    shown = [_show(value) for value in (was, now)]
    if any(len(value) > _LONG for value in shown):
        return f"setting {key} changed"
    return f"setting {key} {' -> '.join(shown)}"


def _words(words: Mapping[str, str], key: str) -> str | None:
    """Return what is said of the longest start of a dotted name."""
    parts = key.split(".")
    starts = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((words[start] for start in starts if start in words), None)


def _changed_inputs(
    old: Mapping[str, Sequence[Mapping[str, str]]], new: Mapping[str, Sequence[Mapping[str, str]]]
) -> list[str]:
    stages: dict[str, None] = {}
    files = []
    for name in sorted({*old, *new}):
        before, after = old.get(name, []), new.get(name, [])
        known = {entry["sha256"] for entry in before}
        if [entry["sha256"] for entry in before] == [entry["sha256"] for entry in after]:
            continue
        for entry in [e for e in after if e["sha256"] not in known] or after or before:
            if entry["from"]:
                stages[entry["from"]] = None
            else:
                files.append(f"input {entry['name']} changed")
    return files + [f"{stage}'s output changed" for stage in stages]


def _some(names: Sequence[str], separator: str = ", ", most: int = 4) -> str:
    rest = len(names) - most
    return separator.join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _show(value: Any) -> str:
    text = "(none)" if value is None else str(value)
    return f"{text[:12]}..." if _DIGEST.fullmatch(text) else text

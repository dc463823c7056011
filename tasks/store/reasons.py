"""Why a stage runs: what differs between a request and the last one with its label."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sentiment.settings import flatten
from tasks.manifest import Manifest
from tasks.stage import Request
from tasks.store import Lookup

_DIGEST = re.compile("[0-9a-f]{64}")


def explain(request: Request, found: Lookup, previous: Manifest | None) -> list[str]:
    """Return why a request has to run.

    ``found`` is what the store has for it, ``previous`` the last result with the same label.
    """
    if found.damage:
        return [found.damage]
    if previous is None:
        return ["first run"]
    return differences(previous, request) or ["its result is no longer in the storage folder"]


def differences(previous: Manifest, request: Request) -> list[str]:
    """List what changed since a result was made: settings, code, libraries, inputs."""
    now = request.ingredients
    changes = _changed_config(previous.config, now["config"], first=request.stage.name)
    files = sorted({name.split(":")[0] for name, *_ in _changed(previous.code, now["code"])})
    if files:
        changes.append(f"code changed in {_some(files)}")
    changes += [
        f"{name} {_show(old)} -> {_show(new)}"
        for name, old, new in _changed(previous.libraries, now["libraries"])
    ]
    changes += _changed_inputs(previous.inputs, now["inputs"])
    return changes


def summarise(reasons: Sequence[Sequence[str]], total: int) -> str:
    """Join the reasons of a stage's requests that run; ``total`` includes the cached ones."""
    different = dict.fromkeys(reason for request in reasons for reason in request)
    share = f"{len(reasons)} of {total} shards: " if len(reasons) < total else ""
    return f"{share}{_some(list(different), '; ')}"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _changed_config(old: Mapping[str, Any], new: Mapping[str, Any], first: str) -> list[str]:
    """List the settings that differ, the stage's own section first."""
    changes = []
    for section in sorted({*old, *new}, key=lambda name: (name != first, name)):
        before, after = old.get(section), new.get(section)
        if isinstance(before, Mapping) != isinstance(after, Mapping):
            changes.append(f"config {section} changed")
            continue
        changes += [
            f"config {key} {_show(was)} -> {_show(now)}"
            for key, was, now in _changed(flatten({section: before}), flatten({section: after}))
        ]
    return changes


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

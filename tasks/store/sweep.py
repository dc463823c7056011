"""What can be removed from remote storage, which has no locks: only what is old enough.

A manifest goes before its files, so that none names what is gone. A run that begins to use an old
result in that moment fails, says so, and computes it when it is run again.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from tasks.manifest import SHORT, Manifest
from tasks.store.objects import Listed, Objects
from tasks.store.remote import MANIFEST, at_once, place_of

Used = Collection[tuple[str, str]]  # stages and keys


@dataclass(frozen=True)
class Old:
    """Objects that go together, in the order in which they are to be removed."""

    path: str
    objects: Sequence[Listed]


def old_objects(
    objects: Objects,
    listed: Sequence[Listed],
    *,
    results: str,
    runs: str,
    used: Used,
    kept_runs: Collection[str],
    before: datetime,
) -> list[Old]:
    """Return what nothing uses and what is older than a moment, of the objects listed.

    ``results`` and ``runs`` are the forms of ``<stage>/<key>`` and of a run's id. Whatever else is
    there stays.
    """
    groups: dict[str, list[Listed]] = defaultdict(list)
    form = re.compile(rf"({results})/.+|(runs/{runs})/.+|((?:checkpoints|requests)/[^/]+)(?:/.+)?")
    for entry in listed:
        if match := form.fullmatch(entry.path):
            groups[match[1] or match[2] or match[3]].append(entry)
    names = {f"{stage}/{key}" for stage, key in used}
    work = {f"{stage}-{key}" for stage, key in used}
    kept = {f"runs/{run}" for run in kept_runs}
    named = _named(objects, [group for group in groups if group in names])
    old = []
    for group, members in sorted(groups.items()):
        kind, _, name = group.partition("/")
        if group in names:
            going = [m for m in members if _is_stray(m, named.get(group))]
        elif group in kept or (kind in ("checkpoints", "requests") and _stem(name) in work):
            continue
        else:
            manifests = [m for m in members if m.path == f"{group}/{MANIFEST}"]
            if any(manifest.when >= before for manifest in manifests):
                continue
            going = manifests + [m for m in members if m not in manifests]
        if going := [member for member in going if member.when < before]:
            old.append(Old(group, going))
    return old


def remove_old(objects: Objects, old: Old, before: datetime) -> None:
    """Remove objects one after the other, but not those that have been written again."""
    for member in old.objects:
        now = objects.look(member.path)
        if now is not None and now.when < before:
            objects.remove([member.path])
        elif now is not None and member.path.endswith(f"/{MANIFEST}"):
            return  # somebody has just made this result


def _named(objects: Objects, results: Sequence[str]) -> Mapping[str, set[str]]:
    """Return the files that manifests name, by result; what cannot be read is left out."""

    def read(result: str) -> set[str] | None:
        seen = objects.get(f"{result}/{MANIFEST}")
        with suppress(ValueError):
            if seen is not None:
                return {place_of(a) for a in Manifest.from_json(seen.content).outputs}
        return None

    found: Iterator[tuple[str, set[str] | None]]
    found = zip(results, at_once(read, results), strict=True)
    return {result: files for result, files in found if files is not None}


def _is_stray(member: Listed, named: Collection[str] | None) -> bool:
    """Return whether an object is a result's file that its manifest does not name."""
    folder = member.path.split("/")[2]
    is_file = re.fullmatch(rf"[0-9a-f]{{{SHORT}}}", folder) is not None
    return is_file and named is not None and member.path not in named


def _stem(name: str) -> str:
    return name.removesuffix(".json")

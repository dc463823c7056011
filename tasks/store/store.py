"""The store: results of stages under their keys, complete or absent.

``<root>/<stage>/<key>/`` holds a result's files and its ``manifest.json``. A stage writes to a
folder beside it, which is renamed into place under a lock that dies with its owner. By then all of
it is on the disk. A manifest counts only in the folder, and with the content, that it was written
for.

With remote storage, a store computes in a folder of this machine in the same way, its cache, and
publishes each result. The manifest that is published then decides what there is.
"""

import os
import shutil
import sys
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from filelock import FileLock

from sentiment.errors import SentimentError, StageError, StorageError
from sentiment.files import digest_file, flush
from sentiment.progress import Progress, silent
from tasks.manifest import Artifact, Manifest
from tasks.stage import Request
from tasks.store.atomic import READ_ONLY, computing_in, writing_to
from tasks.store.inputs import checked
from tasks.store.machine import describe_machine
from tasks.store.mirror import Mirror
from tasks.store.objects import Objects
from tasks.store.place import cache_folder, is_url, resolved
from tasks.store.remote import MANIFEST, MARKER, at_once, bring, damage, mark, paths_of, publish
from tasks.store.small_files import SmallFiles

LOCKS, FAILED, RUNS = "locks", "failed", "runs"
DISCARDED = "discarded"  # a result that a new one is replacing
VERSIONS = ("torch", "numpy", "pyarrow", "nltk", "prefect")


@dataclass(frozen=True)
class Lookup:
    """What the store has for a request: a manifest, or why it cannot be used."""

    manifest: Manifest | None
    damage: str | None = None


@dataclass(frozen=True)
class Built:
    """A manifest, and whether it was computed now or already there."""

    manifest: Manifest
    computed: bool


class Store(SmallFiles):
    """The results under one storage root, and the small files beside them."""

    def __init__(self, root: Path, objects: Objects | None = None) -> None:
        super().__init__(root.resolve(), objects)
        self.writable = True

    @classmethod
    def at(cls, place: str | Path) -> "Store":
        """Return the store at a folder or URL; raises ConfigError for a URL of no known kind."""
        if not is_url(place):
            return cls(Path(place))
        url = resolved(place)
        return cls(cache_folder(url), Objects(url))

    def prepare(self) -> None:
        """Create the root and mark it as a store; raises StorageError if it cannot be written."""
        probe = self.root / LOCKS / f".probe-{uuid.uuid4().hex}"
        with writing_to(self.root):
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
            (self.root / MARKER).touch()
        if self.objects is not None:
            mark(self.objects)

    def open(self) -> None:
        """Prepare the store; only note that it is not ``writable`` if it can still be read."""
        try:
            self.prepare()
        except StorageError as error:
            if getattr(error.__cause__, "errno", None) not in READ_ONLY:
                raise
            if not self._is_marked():
                raise
            self.writable = False

    def check(self) -> None:
        """Raise StorageError unless the root is a store, that is, a run has used it."""
        if not self._is_marked():
            raise StorageError(
                f"{self.place()}: not a storage folder, since no run has used it: it has no "
                f"{MARKER}. Name the storage folder with --storage or SENTIMENT_STORAGE."
            )

    def _is_marked(self) -> bool:
        if self.objects is not None:
            return self.objects.look(MARKER) is not None
        return (self.root / MARKER).is_file()

    def folder(self, request: Request) -> Path:
        return self.root / request.stage.name / request.key

    def read(self, stage: str, key: str) -> Manifest:
        """Return a result's manifest; its files are not looked at.

        Raises FileNotFoundError if there is none, ValueError if it is not as it was written, or was
        written for another result.
        """
        seen = self.get(f"{stage}/{key}/{MANIFEST}")
        if seen is None:
            raise FileNotFoundError(f"{stage}/{key}")
        manifest = Manifest.from_json(seen.content)
        own = f"{manifest.stage}/{manifest.key}"
        if own != f"{stage}/{key}":
            raise ValueError(f"it belongs to {own}")
        if any(artifact.path != f"{own}/{artifact.name}" for artifact in manifest.outputs):
            raise ValueError("it names files of other folders")
        return manifest

    def results(self, stage: str) -> list[Manifest]:
        """Return the manifests of a stage's results, oldest first; unreadable ones are skipped."""
        if self.objects is not None:
            keys = [path.split("/")[1] for path in paths_of(self.objects, stage, MANIFEST)]
        else:
            keys = [path.parent.name for path in (self.root / stage).glob(f"*/{MANIFEST}")]
        found = self.read_all(stage, keys).values()
        return sorted(found, key=lambda manifest: (manifest.created, manifest.key))

    def read_all(self, stage: str, keys: Collection[str]) -> dict[str, Manifest]:
        """Return the manifests of results that can be read, by their keys."""

        def read(key: str) -> Manifest | None:
            with suppress(OSError, ValueError):
                return self.read(stage, key)
            return None

        found = zip(keys, self._each(read, keys), strict=True)
        return {key: manifest for key, manifest in found if manifest is not None}

    def has_run(self, stage: str) -> bool:
        """Return whether there has been a result of a stage."""
        if self.objects is not None:
            return any(True for _ in self.objects.list(stage))
        return (self.root / stage).is_dir()

    def find_all(self, requests: Sequence[Request], *, verify: bool = False) -> list[Lookup]:
        """Look up several results."""
        return [*self._each(lambda request: self.find(request, verify=verify), requests)]

    def find(self, request: Request, *, verify: bool = False) -> Lookup:
        """Look up a result: usable if its manifest is there and its files match it.

        Sizes and modification times are compared. The content is read where a time differs, or
        always with ``verify``. In remote storage files are looked at with ``verify`` only: a
        manifest was written after them.
        """
        path = self.folder(request) / MANIFEST
        try:
            manifest = self.read(request.stage.name, request.key)
        except FileNotFoundError:
            incomplete = self.objects is None and self.folder(request).exists()
            return Lookup(None, f"{self._short(path)} is missing" if incomplete else None)
        except (OSError, ValueError) as error:
            return Lookup(None, f"{self._short(path)} is damaged ({error})")
        for artifact in manifest.outputs:
            if found := self._damage(artifact, verify):
                return Lookup(None, found)
        return Lookup(manifest)

    def _damage(self, artifact: Artifact, verify: bool) -> str | None:
        if self.objects is not None:
            return damage(self.objects, artifact) if verify else None
        path = self.root / artifact.path
        try:
            stat = path.stat()
        except OSError:
            return f"{artifact.path} is missing"
        touched = stat.st_mtime_ns != artifact.mtime_ns
        if stat.st_size != artifact.size or (
            (touched or verify) and digest_file(path) != artifact.sha256
        ):
            return f"{artifact.path} is damaged"
        if touched:  # copied but intact: need not be read next time
            with suppress(OSError):  # such as in a folder that another user owns
                os.utime(path, ns=(stat.st_atime_ns, artifact.mtime_ns))
        return None

    def discard(self, request: Request, *, verify: bool = False) -> None:
        """Delete a damaged result so that it is never a cache hit."""
        folder = self.folder(request)
        with writing_to(self.root), self._lock(request):
            if self.find(request, verify=verify).manifest is not None:
                return
            if self.objects is not None:  # without it the files count for nothing
                self.objects.remove([f"{request.stage.name}/{request.key}/{MANIFEST}"])
            elif folder.exists():
                shutil.rmtree(folder)

    def bring(self, artifacts: Iterable[Artifact], *, verify: bool = False) -> None:
        """Fetch from remote storage what is not on this machine.

        Raises StorageError or DataError. ``verify`` reads the files that are here.
        """
        wanted = [a for a in artifacts if a.is_url or (self.objects is not None and a.stage)]
        for _ in at_once(lambda a: bring(self.objects, self.root, a, verify=verify), wanted):
            pass

    def file(self, artifact: Artifact) -> Path:
        """Return a file that can be read on this machine."""
        self.bring([artifact])
        return artifact.local(self.root)

    def build(
        self,
        request: Request,
        *,
        force: bool = False,
        run: str = "",
        progress: Progress = silent,
    ) -> Built:
        """Return the result of a request, computing it unless a usable one is there.

        Others that ask for the same work meanwhile wait, and then find it done. What is forced
        starts from scratch, but resumes where a forced request before it was interrupted. In
        remote storage the newest checkpoint is there too, so that any machine resumes. Raises what
        the stage's function raises, and StorageError if the files cannot be written.
        """
        folder = self.folder(request)
        with writing_to(self.root), self._lock(request):
            discarded = _discarded(folder)
            if discarded.exists() and not folder.exists():  # killed between two renames
                discarded.rename(folder)
            found = self.find(request)
            if found.manifest is not None and not force:
                return Built(found.manifest, computed=False)
            for leftover in folder.parent.glob(f".{request.key}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            manifest = None if force else self._unpublished(request)
            computed, mirror = manifest is None, self._mirror(request, force)
            if manifest is None:
                self.bring(request.artifacts, verify=True)
                with mirror.in_step() if mirror else nullcontext():
                    manifest = self._compute(request, folder, run, progress)
            manifest = self._publish(manifest, found, replace=force)
            if mirror:
                mirror.clear()
            return Built(manifest, computed=computed)

    def resumes_at(self, request: Request, *, force: bool = False) -> int | None:
        """Return the step of the checkpoint that a request would resume from, or None."""
        mirror = self._mirror(request, force)
        return mirror.step() if mirror else None

    def _mirror(self, request: Request, force: bool) -> Mirror | None:
        if not request.stage.resumable:
            return None
        return Mirror(request.checkpoints(self.root), self.objects, forced=force)

    def _unpublished(self, request: Request) -> Manifest | None:
        """Return a result in the cache that is not published: of a run that was killed."""
        if self.objects is None:
            return None
        return Store(self.root).find(request, verify=True).manifest

    def _publish(self, manifest: Manifest, found: Lookup, *, replace: bool = False) -> Manifest:
        if self.objects is None:
            return manifest
        return publish(self.objects, self.root, manifest, replace=replace or bool(found.damage))

    def _lock(self, request: Request) -> FileLock:
        # The system frees the lock when its owner dies, for whatever reason.
        (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / LOCKS / f"{request.stage.name}-{request.key}.lock")

    def _compute(self, request: Request, folder: Path, run: str, progress: Progress) -> Manifest:
        work = folder.parent / f".{request.key}-{os.getpid()}"
        work.mkdir(parents=True)
        try:
            started = time.monotonic()
            arguments = request.arguments(self.root)
            function = request.load()
            with (
                computing_in(self.root),
                checked(request.artifacts, self.root),
                request.stage.open_session(arguments) as more,
            ):
                stats = function(**arguments, **more, out=work, progress=progress)
            # Work done before a stage resumed from a checkpoint counts too.
            seconds = time.monotonic() - started + stats.get("seconds_before", 0)
            text = self._manifest(request, work, folder, stats, run, seconds).to_json()
            (work / MANIFEST).write_text(text, encoding="utf-8")
            for path in (*work.rglob("*"), work):
                flush(path)
            if folder.exists():
                folder.rename(_discarded(folder))
                work.rename(folder)
                shutil.rmtree(_discarded(folder), ignore_errors=True)
            else:
                work.rename(folder)
            flush(folder.parent)
            return Manifest.from_json(text)  # as others will read it, in the same order
        except SentimentError as error:
            self._keep_attachment(request, error)
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _manifest(
        self,
        request: Request,
        work: Path,
        folder: Path,
        stats: dict[str, Any],
        run: str,
        seconds: float,
    ) -> Manifest:
        outputs = []
        for path in sorted(p for p in work.rglob("*") if p.is_file()):
            name = path.relative_to(work).as_posix()
            stat = path.stat()
            outputs.append(
                Artifact(
                    name=name,
                    path=(folder / name).relative_to(self.root).as_posix(),
                    sha256=digest_file(path),
                    size=stat.st_size,
                    mtime_ns=stat.st_mtime_ns,
                    rows=pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None,
                )
            )
        if not outputs:
            raise StageError(f"Stage {request.stage.name} wrote no file for {request.label}.")
        return Manifest(
            stage=request.stage.name,
            label=request.label,
            key=request.key,
            **request.ingredients,
            outputs=tuple(outputs),
            stats=stats,
            seconds=round(seconds, 3),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            run=run,
            versions={"python": sys.version.split()[0], **{n: version(n) for n in VERSIONS}},
            machine=describe_machine(),
        )

    def _keep_attachment(self, request: Request, error: SentimentError) -> None:
        if error.attachment is None or not error.attachment.exists():
            return
        kept = self.root / FAILED / f"{request.stage.name}-{request.key}" / error.attachment.name
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(error.attachment, kept)
        except OSError:  # what is wrong with the rows matters more
            return
        with suppress(StorageError):
            self.share(self._short(kept))
        place = self.place(self._short(kept))
        error.args = (f"{error.args[0]}\nThe rejected rows are kept in {place}.", *error.args[1:])

    def _short(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _discarded(folder: Path) -> Path:
    """Return where a result is moved while a new one replaces it."""
    return folder.with_name(f".{folder.name}-{DISCARDED}")

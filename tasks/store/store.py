"""The store: results of stages under their keys, complete or absent.

``<root>/<stage>/<key>/`` holds a result's files and its ``manifest.json``. A stage writes to a
folder beside it, which is renamed into place under a lock that dies with its owner. By then all of
it is on the disk. A manifest counts only in the folder, and with the content, that it was written
for.
"""

import os
import shutil
import sys
import time
import uuid
from contextlib import suppress
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
from tasks.stage import FORCED, Request
from tasks.store.atomic import READ_ONLY, computing_in, writing_to
from tasks.store.inputs import checked
from tasks.store.machine import describe_machine

MANIFEST = "manifest.json"
LOCKS, FAILED, RUNS = "locks", "failed", "runs"
MARKER = ".sentiment-storage"  # an empty file in the root
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


class Store:
    """The results under one storage root."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.writable = True

    def prepare(self) -> None:
        """Create the root and mark it as a store; raises StorageError if it cannot be written."""
        probe = self.root / LOCKS / f".probe-{uuid.uuid4().hex}"
        with writing_to(self.root):
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
            (self.root / MARKER).touch()

    def open(self) -> None:
        """Prepare the store; only note that it is not ``writable`` if it can still be read."""
        try:
            self.prepare()
        except StorageError as error:
            if getattr(error.__cause__, "errno", None) not in READ_ONLY:
                raise
            if not (self.root / MARKER).is_file():
                raise
            self.writable = False

    def check(self) -> None:
        """Raise StorageError unless the root is a store, that is, a run has used it."""
        if not (self.root / MARKER).is_file():
            raise StorageError(
                f"{self.root}: not a storage folder, since no run has used it: it has no {MARKER}. "
                "Name the storage folder with --storage or SENTIMENT_STORAGE."
            )

    def folder(self, request: Request) -> Path:
        return self.root / request.stage.name / request.key

    def read(self, stage: str, key: str) -> Manifest:
        """Return a result's manifest; its files are not looked at.

        Raises FileNotFoundError if there is none, ValueError if it is not as it was written, or was
        written for another result.
        """
        manifest = Manifest.from_json((self.root / stage / key / MANIFEST).read_bytes())
        own = f"{manifest.stage}/{manifest.key}"
        if own != f"{stage}/{key}":
            raise ValueError(f"it belongs to {own}")
        if any(artifact.path != f"{own}/{artifact.name}" for artifact in manifest.outputs):
            raise ValueError("it names files of other folders")
        return manifest

    def results(self, stage: str) -> list[Manifest]:
        """Return the manifests of a stage's results, oldest first; unreadable ones are skipped."""
        found = []
        for path in (self.root / stage).glob(f"*/{MANIFEST}"):
            with suppress(OSError, ValueError):
                found.append(self.read(stage, path.parent.name))
        return sorted(found, key=lambda manifest: (manifest.created, manifest.key))

    def find(self, request: Request, *, verify: bool = False) -> Lookup:
        """Look up a result: usable if its manifest is there and its files match it.

        Sizes and modification times are compared. The content is read where a time differs, or
        always with ``verify``.
        """
        path = self.folder(request) / MANIFEST
        try:
            manifest = self.read(request.stage.name, request.key)
        except FileNotFoundError:
            incomplete = self.folder(request).exists()
            return Lookup(None, f"{self._short(path)} is missing" if incomplete else None)
        except (OSError, ValueError) as error:
            return Lookup(None, f"{self._short(path)} is damaged ({error})")
        for artifact in manifest.outputs:
            damage = self._damage(artifact, verify)
            if damage:
                return Lookup(None, damage)
        return Lookup(manifest)

    def _damage(self, artifact: Artifact, verify: bool) -> str | None:
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
            if folder.exists() and self.find(request, verify=verify).manifest is None:
                shutil.rmtree(folder)

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
        starts from scratch, but resumes where a forced request before it was interrupted. Raises
        what the stage's function raises, and StorageError if the files cannot be written.
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
            checkpoints = request.checkpoints(self.root)
            if force and request.stage.resumable and not (checkpoints / FORCED).exists():
                shutil.rmtree(checkpoints, ignore_errors=True)
                checkpoints.mkdir(parents=True)
                (checkpoints / FORCED).touch()
            manifest = self._compute(request, folder, run, progress)
            shutil.rmtree(checkpoints, ignore_errors=True)
            return Built(manifest, computed=True)

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
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(error.attachment, kept)
        error.args = (f"{error.args[0]}\nThe rejected rows are kept in {kept}.", *error.args[1:])

    def _short(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _discarded(folder: Path) -> Path:
    """Return where a result is moved while a new one replaces it."""
    return folder.with_name(f".{folder.name}-{DISCARDED}")

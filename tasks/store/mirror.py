"""Checkpoints that outlive their process and, in remote storage, their machine.

``<url>/checkpoints/<stage>-<key>/`` holds the newest one; ``forced/`` in it holds that of a forced
request, which resumes from no other. Only whole checkpoints are sent: they are renamed into place,
and an object appears when all of it has arrived.
"""

import logging
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sentiment.errors import StorageError
from tasks.stage import CHECKPOINTS, FORCED
from tasks.store.objects import Objects

log = logging.getLogger(__name__)

FORM = re.compile(r"step-(\d+)\.([0-9a-f]+)\.safetensors")  # its step, the start of its sha256
EVERY = 1.0  # seconds between looks for a new checkpoint
LATER = 60.0  # seconds until the next attempt after one that failed
PATIENCE = 25.0  # seconds for the last one of stopped work: many kill what has not ended after 30


class _Found(NamedTuple):
    step: int
    path: str


class Mirror:
    """The checkpoints of a request in a folder, and their copies where ``objects`` are not None."""

    def __init__(self, folder: Path, objects: Objects | None, *, forced: bool) -> None:
        self._folder, self._objects, self._forced = folder, objects, forced
        self._place = f"{CHECKPOINTS}/{folder.name}"
        self._sent: str | None = None
        self._ended, self._stopped, self._failing = threading.Event(), False, False

    def step(self) -> int | None:
        """Return the step of the checkpoint that the request would resume from, or None."""
        here = self._here() if self._counts() else []
        return max((found.step for found in (*here, *self._there())), default=None)

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Bring the newest checkpoint here; send each new one while the block runs.

        If the block raises the last one is sent too. One that appears while another is under way
        waits, or is skipped for the next. Raises StorageError if the storage does not answer before
        the block; during it that does not fail the work, and only a warning reports it.
        """
        if not self._counts():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            (self._folder / FORCED).touch()
        if self._objects is None:
            yield
            return
        self._bring(self._objects)
        arguments = (self._objects,)
        thread = threading.Thread(
            target=self._send_each, args=arguments, name="mirror", daemon=True
        )
        thread.start()
        try:
            yield
        except BaseException:
            self._stopped = True
            self._ended.set()
            thread.join(PATIENCE)
            raise
        self._ended.set()
        thread.join()

    def clear(self) -> None:
        """Remove the checkpoints, also those in remote storage."""
        if self._objects is not None:
            self._objects.remove([listed.path for listed in self._objects.list(self._place)])
        shutil.rmtree(self._folder, ignore_errors=True)

    def _counts(self) -> bool:
        """Return whether the request may resume from what is here.

        A forced one only from a forced one's. In remote storage it must be there too: what is here
        alone is of a request that another machine has finished.
        """
        if not self._forced:
            return True
        marked = (self._folder / FORCED).exists()
        return marked and (self._objects is None or bool(self._there()))

    def _here(self) -> list[_Found]:
        """Return the checkpoints in the folder, oldest first."""
        return _checkpoints(path.as_posix() for path in self._folder.glob("step-*"))

    def _there(self) -> list[_Found]:
        """Return those in remote storage that the request may resume from, oldest first."""
        if self._objects is None:
            return []
        place = f"{self._place}/{FORCED}" if self._forced else self._place
        return _checkpoints(listed.path for listed in self._objects.list(place))

    def _bring(self, objects: Objects) -> None:
        here = self._here()
        for found in reversed(self._there()):
            name = _name(found.path)
            if here and found.step <= here[-1].step:
                self._sent = name  # so that it is not sent again, if it is the one that is here
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / f".{name}-{os.getpid()}"
            try:
                if objects.fetch(found.path, unfinished).startswith(name.split(".")[1]):
                    unfinished.replace(self._folder / name)
                    self._sent = name
                    return
                log.warning("%s is damaged: skipped", objects.place(found.path))
            except FileNotFoundError:  # a newer one has just replaced it
                pass
            finally:
                unfinished.unlink(missing_ok=True)

    def _send_each(self, objects: Objects) -> None:
        while not self._ended.wait(LATER if self._failing else EVERY):
            self._send_newest(objects)
        if self._stopped:
            self._send_newest(objects)

    def _send_newest(self, objects: Objects) -> None:
        here = self._here()
        if not here or (name := _name(here[-1].path)) == self._sent:
            return
        newest = Path(here[-1].path)
        place = f"{self._place}/{FORCED}" if (self._folder / FORCED).exists() else self._place
        try:
            objects.put(f"{place}/{name}", newest)
            there = _checkpoints(listed.path for listed in objects.list(place))
            own = [found for found in there if found.path == f"{place}/{_name(found.path)}"]
            objects.remove([found.path for found in own if found.step < here[-1].step])
            self._sent, self._failing = name, False
        except StorageError as error:
            # Or training has removed it meanwhile, for a newer one.
            if newest.exists() and not self._failing:
                log.warning("The checkpoint is on this machine only; training continues. %s", error)
                self._failing = True


def _checkpoints(paths: Iterable[str]) -> list[_Found]:
    matches = ((FORM.fullmatch(_name(path)), path) for path in paths)
    return sorted(_Found(int(match[1]), path) for match, path in matches if match)


def _name(path: str) -> str:
    return path.rpartition("/")[2]

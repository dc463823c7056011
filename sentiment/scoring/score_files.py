"""Scoring of whole files, each into a folder of Parquet parts, so that a stopped run goes on."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sentiment.classifier import Classifier
from sentiment.errors import ConfigError, DataError, StorageError
from sentiment.evaluation.metrics import figures_of
from sentiment.files import replacing
from sentiment.model.bundle import Bundle, digest_bundle
from sentiment.model.devices import arithmetic, choose_device, keep_freed_memory
from sentiment.model.profile import Profile
from sentiment.progress import Progress, silent
from sentiment.scoring.drift import drift
from sentiment.scoring.inputs import ScoreConfig
from sentiment.scoring.parts import FileScoring, Tally

MANIFEST = "_manifest.json"  # the underscore makes readers of Parquet folders leave it alone
SUMMARY = "scores.json"


def score_files(
    files: Sequence[Path],
    out: Path,
    *,
    model: Path,
    config: ScoreConfig,
    force: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score every row of the files and return the summary that ``out/scores.json`` holds.

    A file becomes the folder ``out/<its name>`` with ``part-00000.parquet`` and so on, columns as
    in ``SCORES`` (``text`` too, if wanted), a row for each row of the input in its order. Parts
    that are there stay if the input, the model and the settings are those they were made from;
    otherwise it is a ConfigError, or with ``force`` they are removed first. The result adds
    ``seconds`` and ``rows_per_second``, of this call alone, to what the file holds.
    """
    _check(files, out)
    keep_freed_memory()
    bundle = Bundle.load(model)
    device = choose_device("auto")
    classifier = Classifier(bundle, device)
    digest = digest_bundle(model)
    started = time.monotonic()
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done)

    tallies = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0), arithmetic("float32", device):
            for file in files:
                folder = out / file.name
                _prepare(folder, _manifest(file, digest, config), force)
                scoring = FileScoring(file, folder, classifier, config, advance)
                tallies[file] = scoring.run()
            summary = _summary(tallies, model, digest, bundle.profile, config)
            _write(out / SUMMARY, summary)
    except Timeout:
        raise StorageError(f"{out}: another process is scoring into this folder.") from None
    except OSError as error:
        raise StorageError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}). Free some "
            "space or choose another folder; the same command goes on."
        ) from error
    seconds = time.monotonic() - started
    return {**summary, "seconds": round(seconds, 2), "rows_per_second": round(done / seconds)}


def _check(files: Sequence[Path], out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StorageError(f"{out}: is no folder. Choose another place for the scores.")
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such file.")
        if file.name == SUMMARY:
            raise DataError(
                f"{file}: {out / SUMMARY} will be the scores' summary, so no folder can have this "
                "name. Rename the input."
            )
        taken = out / file.name
        if os.path.lexists(taken) and not taken.is_dir():
            what = "the input itself" if taken.exists() and taken.samefile(file) else "another file"
            raise DataError(
                f"{file}: its scores need the folder {taken}, which is {what}. Choose another "
                "folder for the scores."
            )
    names = Counter(file.name for file in files)
    if twice := [name for name, number in names.items() if number > 1]:
        raise DataError(
            f"Two input files are named {twice[0]}, and so would be their folders of scores. "
            "Score one of them into another folder."
        )


def _manifest(file: Path, model: str, config: ScoreConfig) -> dict[str, Any]:
    state = file.stat()
    return {
        "input": {"size": state.st_size, "modified_ns": state.st_mtime_ns},
        "model": model,
        "settings": config.output_settings(),
    }


def _prepare(folder: Path, manifest: dict[str, Any], force: bool) -> None:
    """Make the folder ready for what the manifest describes, or refuse."""
    folder.mkdir(exist_ok=True)
    for pattern in (".part-*", f".{MANIFEST}-*"):  # left by a killed run
        for unfinished in folder.glob(pattern):
            unfinished.unlink()
    try:
        before = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        before = {}
    if before == manifest:
        return
    parts = list(folder.glob("part-*.parquet"))
    if parts and not force:
        changed = [name for name, value in manifest.items() if before.get(name) != value]
        raise ConfigError(
            f"{folder} holds scores made with another {' and '.join(changed)}. Choose another "
            "folder, or replace them with --force."
        )
    for part in parts:
        part.unlink()
    _write(folder / MANIFEST, manifest)


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _summary(
    tallies: dict[Path, Tally],
    model: Path,
    digest: str,
    training: Profile | None,
    config: ScoreConfig,
) -> dict[str, Any]:
    total = sum(tallies.values(), Tally())
    labelled = sum(total.confusion.values())
    metrics = None
    if labelled:
        metrics = {**figures_of(total.confusion), "loss": total.loss / labelled}
    moved = None
    if training is not None and total.profile.reviews:
        moved = drift(training, total.profile, config.drift)
    return {
        "model": os.fspath(model),
        "model_digest": digest,
        **total.figures(),
        "other_labels": total.other_labels,
        "metrics": metrics,
        "drift": moved,
        "files": [
            {"input": os.fspath(file), "folder": file.name, **tally.figures()}
            for file, tally in tallies.items()
        ],
    }

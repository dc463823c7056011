"""Scoring of whole files, each into a folder of parts, so that a run can resume."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sentiment.classifier import Classifier
from sentiment.data.formats import TABLES, unpacked_name
from sentiment.data.labels import are_doubtful
from sentiment.errors import ConfigError, DataError, RejectRateError, StorageError
from sentiment.evaluation.metrics import metrics_from_counts
from sentiment.files import FileState, advice, file_state, read_json, replacing
from sentiment.model.bundle import Bundle
from sentiment.model.devices import arithmetic, choose_device, keep_freed_memory
from sentiment.progress import Progress, silent
from sentiment.scoring.drift import drift
from sentiment.scoring.inputs import ScoreConfig, open_input
from sentiment.scoring.parts import FileScoring, Tally

MANIFEST = "_manifest.json"  # readers of Parquet folders ignore names with an underscore
SUMMARY = "_scores.json"
CHANGES = {"input": "another input", "model": "another model", "settings": "other settings"}


def score_files(
    files: Sequence[Path],
    out: Path,
    *,
    model: Path,
    config: ScoreConfig,
    force: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score every row of the files; write ``out/_scores.json`` and return its content.

    A file's scores are ``out/<its name>/part-00000.parquet`` and so on, with the columns of
    ``SCORES`` (and ``text`` and those to keep, if wanted) and one row per input row, in order.
    Existing parts are kept if input, model and settings are unchanged; otherwise ConfigError is
    raised, or with ``force`` they are removed first. The result also has ``seconds`` and
    ``rows_per_second`` of this call.

    Raises StorageError if ``out`` cannot be written, DataError if an input cannot be used or
    changes meanwhile.
    """
    _check(files, out)
    keep_freed_memory()
    bundle = Bundle.load(model)
    device = choose_device("auto")
    classifier = Classifier(bundle, device, fast=config.fast)
    if config.fast and config.threshold not in (None, bundle.config.threshold):
        raise ConfigError(
            f"fast scoring was fitted for the model's threshold {bundle.config.threshold:g}, so it "
            f"cannot answer at {config.threshold:g}. Leave out either of them."
        )
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
            for file in files:  # what cannot be scored is refused before anything is
                open_input(file, config)
                manifest = _manifest(file_state(file), bundle.digest, config)
                _outdated(out / file.name, manifest, force)
            (out / SUMMARY).unlink(missing_ok=True)  # of scores that may now be replaced
            for file in files:
                folder = out / file.name
                state = file_state(file)
                _prepare(folder, _manifest(state, bundle.digest, config), force)
                scoring = FileScoring(file, state, folder, classifier, config, advance)
                tallies[file] = scoring.run()
            summary = _summary(tallies, model, bundle, config)
            _write(out / SUMMARY, summary)
    except Timeout:
        raise StorageError(f"{out}: another process is scoring into this folder.") from None
    except OSError as error:
        raise StorageError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}). "
            f"{advice(error, 'choose another --out')} The same command resumes."
        ) from error
    seconds = time.monotonic() - started
    return {**summary, "seconds": round(seconds, 2), "rows_per_second": done / seconds}


def check_bad_rows(summary: dict[str, Any], out: Path, config: ScoreConfig) -> None:
    """Raise RejectRateError if too many rows of a file have no score; what is written stays."""
    for file in summary["files"]:
        bad, rows = file["bad_rows"], file["rows"]
        if not rows or bad / rows <= config.max_bad_rate:
            continue
        reasons = file["bad_rows_by_reason"]
        by_reason = ", ".join(f"{why}: {number:,}" for why, number in reasons.items())
        encoding = "Is it in another encoding? Then add --encoding latin-1 (or cp1252). "
        raise RejectRateError(
            f"{file['input']}: {bad:,} of {rows:,} rows have no score ({bad / rows:.2%}), more "
            f"than max_bad_rate allows ({config.max_bad_rate:.2%}). By reason: {by_reason}. "
            f"{encoding * ('invalid UTF-8' in reasons)}The scores are in {out / file['folder']}. "
            "Fix the file, or raise max_bad_rate."
        )


def _check(files: Sequence[Path], out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StorageError(f"{out}: is not a folder. Choose another --out.")
    suffix = Path(unpacked_name(out)).suffix.lower()
    if suffix in (".txt", *TABLES) and not out.exists():
        raise ConfigError(
            f"{out}: named like a file, but the scores are a folder with parts for each input. "
            f"Name a folder, as in --out {out.name.split('.')[0] or 'scores'} --format csv."
        )
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such file.")
        if file.name == SUMMARY:
            raise DataError(
                f"{file}: the summary will be {out / SUMMARY}, so no folder can have this name. "
                "Rename the input."
            )
        taken = out / file.name
        if os.path.lexists(taken) and not taken.is_dir():
            what = "the input itself" if taken.exists() and taken.samefile(file) else "another file"
            raise DataError(
                f"{file}: its scores need the folder {taken}, which is {what}. Choose another "
                "--out."
            )
    names = Counter(file.name for file in files)
    if twice := [name for name, number in names.items() if number > 1]:
        raise DataError(
            f"Two input files are named {twice[0]}, so their scores would share a folder. Score "
            "one of them into another --out."
        )


def _manifest(state: FileState, model: str, config: ScoreConfig) -> dict[str, Any]:
    return {
        "input": {"size": state.size, "modified_ns": state.mtime_ns},
        "model": model,
        "settings": config.output_settings(),
    }


def _prepare(folder: Path, manifest: dict[str, Any], force: bool) -> None:
    """Prepare the folder for scores made from what the manifest describes, or refuse."""
    outdated = _outdated(folder, manifest, force)
    folder.mkdir(exist_ok=True)
    for pattern in (".part-*", "._part-*", f".{MANIFEST}-*"):  # left by a killed run
        for unfinished in folder.glob(pattern):
            unfinished.unlink()
    if outdated is None:
        return
    for part in outdated:
        part.unlink()
    _write(folder / MANIFEST, manifest)


def _outdated(folder: Path, manifest: dict[str, Any], force: bool) -> list[Path] | None:
    """Return a folder's parts that the manifest does not describe, or None if it describes all.

    Raises ConfigError if there are such parts, unless ``force`` is set.
    """
    try:
        before = read_json(folder / MANIFEST)
    except (OSError, ValueError):
        before = None
    if before == manifest:
        return None
    parts = [*folder.glob("part-*"), *folder.glob("_part-*")]
    if parts and not force:
        known = before if isinstance(before, dict) else {}
        *others, last = [CHANGES[n] for n, value in manifest.items() if known.get(n) != value]
        changed = f"{', '.join(others)} and {last}" if others else last
        raise ConfigError(
            f"{folder} holds scores made with {changed}. Choose another --out, or overwrite them "
            "with --force."
        )
    return parts


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _summary(
    tallies: dict[Path, Tally],
    model: Path,
    bundle: Bundle,
    config: ScoreConfig,
) -> dict[str, Any]:
    total = sum(tallies.values(), Tally())
    labelled = sum(total.confusion.values())
    metrics = None
    if labelled and not are_doubtful(total.labels_found, config.labels):
        metrics = {**metrics_from_counts(total.confusion), "loss": total.loss / labelled}
    moved = None
    if bundle.profile is not None and total.profile.reviews:
        moved = drift(bundle.profile, total.profile, config.drift)
    return {
        "model": os.fspath(model),
        "model_digest": bundle.digest,
        "generated": bundle.config.generated,
        "threshold": bundle.config.threshold if config.threshold is None else config.threshold,
        **total.summary(),
        "other_labels": total.other_labels,
        "labels": config.labels.model_dump(mode="json"),
        "labels_found": dict(sorted(total.labels_found.items())),
        "metrics": metrics,
        "drift": moved,
        "files": [
            {"input": os.fspath(file), "folder": file.name, **tally.summary()}
            for file, tally in tallies.items()
        ],
    }

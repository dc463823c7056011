"""Scoring one file into parts of a fixed number of rows, each with its own tally.

A part appears complete, with the counts of its rows in its metadata; those of a CSV or JSON part
are in a file of their own, which is written after it. So an existing part need not be read again,
and a summary is a sum over parts.
"""

import json
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count, islice, tee
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from pydantic import Field

from sentiment.classifier import LABELS, Classifier
from sentiment.data.labels import MOST_VALUES, count_label
from sentiment.errors import DataError
from sentiment.evaluation.metrics import confusion_counts, cross_entropy
from sentiment.files import FileState, is_in_state, read_json, replacing
from sentiment.model.profile import Profile
from sentiment.model.texts import WINDOW, Scores, barely_known
from sentiment.scoring.inputs import OTHER, SCORES, Entry, ScoreConfig, open_input
from sentiment.settings import Settings

TALLY = b"sentiment.tally"
WINDOW_CHARACTERS = 1 << 24
LONGEST_LABEL = 60  # characters of a label in the summary
NO_COUNTS = confusion_counts(np.zeros(0, np.bool_), np.zeros(0, np.bool_))


class Tally(Settings):
    """Counts of scored rows; tallies can be added."""

    rows: int = 0
    reasons: dict[str, int] = Field({})
    profile: Profile = Profile()
    confusion: dict[str, int] = Field(NO_COUNTS)  # of the labelled rows
    loss: float = 0.0  # summed over them, in nats
    other_labels: int = 0
    barely_known: int = 0  # scored rows of which the model knows fewer than half of the words
    labels_found: dict[str, int] = Field({})
    exited: int = 0  # scored rows that a part of the model answered

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            rows=self.rows + other.rows,
            reasons=dict(Counter(self.reasons) + Counter(other.reasons)),
            profile=self.profile + other.profile,
            confusion={
                name: number + other.confusion[name] for name, number in self.confusion.items()
            },
            loss=self.loss + other.loss,
            other_labels=self.other_labels + other.other_labels,
            barely_known=self.barely_known + other.barely_known,
            labels_found=dict(
                (Counter(self.labels_found) + Counter(other.labels_found)).most_common(MOST_VALUES)
            ),
            exited=self.exited + other.exited,
        )

    def summary(self) -> dict[str, Any]:
        """Return the counts as shown in the summary."""
        scored = self.profile.reviews
        return {
            "rows": self.rows,
            "scored": scored,
            "bad_rows": self.rows - scored,
            "bad_rows_by_reason": dict(sorted(self.reasons.items())),
            "barely_known": self.barely_known,
            "exited": self.exited,
            "positive": self.profile.positive,
            "positive_share": self.profile.positive / scored if scored else None,
        }


class FileScoring:
    """Scores one file into a folder that may already hold some of its parts."""

    def __init__(
        self,
        file: Path,
        state: FileState,
        folder: Path,
        classifier: Classifier,
        config: ScoreConfig,
        advance: Callable[[int], None],
    ) -> None:
        self._file, self._state, self._folder = file, state, folder
        self._classifier = classifier
        self._config, self._advance = config, advance

    def run(self) -> Tally:
        """Write the missing parts; return the tally of all."""
        size = self._config.chunk_size
        entries, kept = open_input(self._file, self._config)
        schema = _schema(self._config, kept)
        total, skipped = Tally(), 0
        for number in count():
            path = self._folder / f"part-{number:05d}.{self._config.format}"
            tally = read_tally(path)
            if tally is None:
                deque(islice(entries, skipped), maxlen=0)  # rows of existing parts
                tally = self._write_part(path, islice(entries, size), number * size, schema)
                skipped = 0
            else:
                skipped += size
            total += tally
            if tally.rows < size:  # even 0 rows: an empty part marks the file's end
                break
        return total

    def _write_part(
        self, path: Path, entries: Iterator[Entry], row: int, schema: pa.Schema
    ) -> Tally:
        tally = Tally()
        with (
            replacing(path) as unfinished,
            WRITERS[self._config.format](unfinished, schema) as writer,
        ):
            windows, read = tee(_windows(entries))
            scored = self._classifier.score_windows(
                [entry.text for entry in window if entry.text is not None] for window in read
            )
            for scores, window in zip(scored, windows, strict=True):
                table, counted = self._table(window, scores, row + tally.rows, schema)
                writer.write_table(table)
                tally += counted
                self._advance(len(window))
            if isinstance(writer, pq.ParquetWriter):
                writer.add_key_value_metadata({TALLY: tally.model_dump_json()})
            self._check_unchanged()
        if path.suffix != ".parquet":
            record = {"bytes": path.stat().st_size, "tally": tally.model_dump(mode="json")}
            with replacing(tally_file(path)) as unfinished:
                unfinished.write_text(json.dumps(record) + "\n", encoding="utf-8")
        return tally

    def _check_unchanged(self) -> None:
        """Raise DataError if the file was written, so that no part mixes old rows with new ones."""
        if not is_in_state(self._file, self._state):
            raise DataError(
                f"{self._file}: changed while it was read. When the file is complete, run the same "
                "command again with --force."
            )

    def _table(
        self, window: list[Entry], scores: Scores, row: int, schema: pa.Schema
    ) -> tuple[pa.Table, Tally]:
        places = np.array([n for n, entry in enumerate(window) if entry.text is not None], np.int64)
        wanted = self._config.threshold
        threshold = self._classifier.threshold if wanted is None else wanted
        predicted = scores.probabilities >= threshold
        probabilities: list[float | None] = [None] * len(window)
        labels: list[str | None] = [None] * len(window)
        for place, p, positive in zip(places, scores.probabilities, predicted, strict=True):
            probabilities[place], labels[place] = float(p), LABELS[int(positive)]
        columns = {
            **{
                name: [entry.kept[n] for entry in window]
                for n, name in enumerate(self._config.keep)
            },
            "row": np.arange(row, row + len(window)),
            "text": [entry.text for entry in window],
            "label": labels,
            "probability": probabilities,
            "reason": [entry.reason for entry in window],
            "given_label": [
                LABELS[entry.label] if entry.label in (0, 1) else None for entry in window
            ],
        }
        table = pa.table(
            [pa.array(columns[field.name], field.type) for field in schema], schema=schema
        )
        given = np.array([-1 if e.label is None else e.label for e in window], np.int64)[places]
        return table, _tally(window, scores, predicted, given)


def _tally(
    window: list[Entry],
    scores: Scores,
    predicted: npt.NDArray[np.bool_],
    given: npt.NDArray[np.int64],
) -> Tally:
    """Count a window; ``given`` are the input labels of its scored rows, negative for none."""
    labelled = given >= 0
    found: Counter[str] = Counter()
    for entry in window:
        if entry.name:
            count_label(entry.name[:LONGEST_LABEL], found)
    positive, p = given[labelled] == 1, scores.probabilities[labelled]
    return Tally(
        rows=len(window),
        reasons=Counter(entry.reason for entry in window if entry.reason),
        profile=Profile.of(predicted, scores.words, scores.unknown),
        confusion=confusion_counts(positive, predicted[labelled]),
        loss=cross_entropy(positive, p) * len(p) if len(p) else 0.0,
        other_labels=sum(entry.label == OTHER for entry in window),
        barely_known=int(barely_known(scores).sum()),
        labels_found=dict(found),
        exited=int(scores.exited.sum()),
    )


def _windows(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Group rows into lists small enough to hold and score at once."""
    window: list[Entry] = []
    characters = 0
    for entry in entries:
        window.append(entry)
        characters += len(entry.text or "")
        if len(window) == WINDOW or characters > WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


class Writer(Protocol):
    """Writes tables of one schema to a file."""

    def write_table(self, table: pa.Table) -> None: ...


class JsonWriter:
    """Writes the rows of tables as JSON, one object per line."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write_table(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            line = json.dumps(_finite(row), ensure_ascii=False, default=str, allow_nan=False)
            self._file.write(line + "\n")


def _finite(value: Any) -> Any:
    """Return a value with null for the numbers that JSON does not have: NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


@contextmanager
def _json_writer(path: Path, schema: pa.Schema) -> Iterator[JsonWriter]:
    with path.open("w", encoding="utf-8") as file:
        yield JsonWriter(file)


WRITERS: dict[str, Callable[[Path, pa.Schema], AbstractContextManager[Writer]]] = {
    "parquet": lambda path, schema: pq.ParquetWriter(path, schema, compression="zstd"),
    "csv": lambda path, schema: pc.CSVWriter(path, schema),
    "jsonl": _json_writer,
}


def _schema(config: ScoreConfig, kept: pa.Schema) -> pa.Schema:
    """Return the columns to write: those to keep and the scores."""
    text = [pa.field("text", pa.string())] if config.with_text else []
    return pa.schema([*kept, SCORES.field("row"), *text, *list(SCORES)[1:]])


def tally_file(part: Path) -> Path:
    """Return where the tally of a CSV or JSON part is; readers of folders ignore the underscore."""
    return part.with_name(f"_{part.stem}.json")


def read_tally(part: Path) -> Tally | None:
    """Return a part's tally, None if the part is missing or damaged."""
    try:
        if part.suffix == ".parquet":
            return Tally.model_validate_json(pq.read_metadata(part).metadata[TALLY])
        record = read_json(tally_file(part))
        whole = record["bytes"] == part.stat().st_size
        return Tally.model_validate(record["tally"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None

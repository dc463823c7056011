"""Scoring one file into Parquet parts of a fixed number of rows, each with its own tally.

A part appears complete, with the counts of its rows in its metadata. So an existing part need not
be read again, and a summary is a sum over parts.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from sentiment.classifier import LABELS, Classifier
from sentiment.errors import DataError
from sentiment.evaluation.metrics import confusion_counts, cross_entropy
from sentiment.files import FileState, is_in_state, replacing
from sentiment.model.profile import Profile
from sentiment.model.texts import WINDOW, Scores, barely_known
from sentiment.scoring.inputs import OTHER, Entry, ScoreConfig, read_entries
from sentiment.settings import Settings

SCORES = pa.schema(
    [
        ("row", pa.int64()),  # in the input file, from 0
        ("label", pa.string()),  # negative or positive; null in a row that cannot be scored
        ("probability", pa.float64()),  # that the review is positive
        ("reason", pa.string()),  # why a row cannot be scored
        ("given_label", pa.string()),  # the input's own label, if it has one
    ]
)
TALLY = b"sentiment.tally"
WINDOW_CHARACTERS = 1 << 24
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
        fields = [SCORES.field("row"), pa.field("text", pa.string()), *list(SCORES)[1:]]
        self._schema = pa.schema(fields) if config.with_text else SCORES

    def run(self) -> Tally:
        """Write the missing parts; return the tally of all."""
        size = self._config.chunk_size
        entries = read_entries(self._file, self._config)
        total, skipped = Tally(), 0
        for number in count():
            path = self._folder / f"part-{number:05d}.parquet"
            tally = read_tally(path)
            if tally is None:
                deque(islice(entries, skipped), maxlen=0)  # rows of existing parts
                tally, skipped = self._write_part(path, islice(entries, size), number * size), 0
            else:
                skipped += size
            total += tally
            if tally.rows < size:  # even 0 rows: an empty part marks the file's end
                break
        return total

    def _write_part(self, path: Path, entries: Iterator[Entry], row: int) -> Tally:
        tally = Tally()
        with (
            replacing(path) as unfinished,
            pq.ParquetWriter(unfinished, self._schema, compression="zstd") as writer,
        ):
            for window in _windows(entries):
                table, counted = self._score(window, row + tally.rows)
                writer.write_table(table)
                tally += counted
                self._advance(len(window))
            writer.add_key_value_metadata({TALLY: tally.model_dump_json()})
            self._check_unchanged()
        return tally

    def _check_unchanged(self) -> None:
        """Raise DataError if the file was written, so that no part mixes old rows with new ones."""
        if not is_in_state(self._file, self._state):
            raise DataError(
                f"{self._file}: changed while it was read. When the file is complete, run the same "
                "command again with --force."
            )

    def _score(self, window: list[Entry], row: int) -> tuple[pa.Table, Tally]:
        places = np.array([n for n, entry in enumerate(window) if entry.text is not None], np.int64)
        texts = [entry.text for entry in window if entry.text is not None]
        scores = self._classifier.score(texts)
        wanted = self._config.threshold
        threshold = self._classifier.threshold if wanted is None else wanted
        predicted = scores.probabilities >= threshold
        probabilities: list[float | None] = [None] * len(window)
        labels: list[str | None] = [None] * len(window)
        for place, p, positive in zip(places, scores.probabilities, predicted, strict=True):
            probabilities[place], labels[place] = float(p), LABELS[int(positive)]
        columns = {
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
            [pa.array(columns[field.name], field.type) for field in self._schema],
            schema=self._schema,
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
    positive, p = given[labelled] == 1, scores.probabilities[labelled]
    return Tally(
        rows=len(window),
        reasons=Counter(entry.reason for entry in window if entry.reason),
        profile=Profile.of(predicted, scores.words, scores.unknown),
        confusion=confusion_counts(positive, predicted[labelled]),
        loss=cross_entropy(positive, p) * len(p) if len(p) else 0.0,
        other_labels=sum(entry.label == OTHER for entry in window),
        barely_known=int(barely_known(scores).sum()),
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


def read_tally(part: Path) -> Tally | None:
    """Return a part's tally, None if the part is missing or damaged."""
    try:
        return Tally.model_validate_json(pq.read_metadata(part).metadata[TALLY])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None

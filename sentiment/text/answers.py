"""A bounded memory of how pieces of text are split into words, read and written by the column."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sentiment.text.chunks import LONGEST

# A piece of text, or one in a context: whether text stands before it and behind it.
Key: TypeAlias = str | tuple[bool, str, bool]
Words: TypeAlias = str  # with a space between them
Numbers: TypeAlias = npt.NDArray[np.int32]


class Answers:
    """The words of pieces of text, by number. The empty text has the number 0.

    Whoever uses numbers says so at the end with ``used``, after which they may no longer hold:
    about ``capacity`` answers are kept, and when there are more, the half that was used last.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._column = 0  # counts the calls of ``used``
        self._clear()

    def _clear(self) -> None:
        self._numbers: dict[Key, int] = {}
        self._codes_of: dict[str, int] = {}  # of words
        self._words: list[str] = []
        self._size = 0
        self._codes = _Column(np.int32)  # of the words of all answers, one after the other
        self._starts, self._lengths = _Column(np.int32), _Column(np.int32)
        self._used = _Column(np.int64)  # the last column that used it
        self.add([""], [""])

    @property
    def lengths(self) -> Numbers:
        """The number of words of each answer; -1 where only the context can tell."""
        return self._lengths.values

    def __len__(self) -> int:
        return len(self._numbers) - 1  # without the empty text

    def __contains__(self, key: Key) -> bool:
        return key in self._numbers

    def numbers(self, keys: Iterable[Key]) -> list[int | None]:
        """Return the numbers of pieces, None for those that are not known."""
        return list(map(self._numbers.get, keys))

    def add(self, keys: Sequence[Key], answers: Sequence[Words | None]) -> range:
        """Number new answers, None for those that only the context can tell."""
        new = range(len(self.lengths), len(self.lengths) + len(keys))
        words = " ".join(filter(None, answers)).split()
        unknown = [word for word in dict.fromkeys(words) if word not in self._codes_of]
        self._codes_of.update(zip(unknown, count(len(self._words))))
        self._words += unknown
        lengths = [-1 if a is None else a.count(" ") + bool(a) for a in answers]
        counts = np.maximum(lengths, 0)
        self._starts.extend(len(self._codes.values) + np.cumsum(counts) - counts)
        self._codes.extend([*map(self._codes_of.__getitem__, words)])
        self._lengths.extend(lengths)
        self._used.extend(np.full(len(keys), self._column))
        self._numbers.update(zip(keys, new, strict=True))
        texts = (key if isinstance(key, str) else key[1] for key in keys)
        sizes = [len(text) for text in texts]
        for at in [at for at, size in enumerate(sizes) if size > LONGEST]:
            del self._numbers[keys[at]]
        self._size += len(keys) + sum(size // LONGEST for size in sizes if size > LONGEST)
        return new

    def words(self, numbers: Numbers) -> pa.DictionaryArray:
        """Return the words of all these answers, one after the other, coded as they first occur."""
        lengths = self.lengths[numbers]
        ends = np.cumsum(lengths, dtype=np.int32)
        at = np.arange(ends[-1] if len(ends) else 0, dtype=np.int32)
        at += np.repeat(self._starts.values[numbers] - ends + lengths, lengths)
        coded = pa.array(self._codes.values[at]).dictionary_encode()
        known = [self._words[code] for code in coded.dictionary.to_pylist()]
        return pa.DictionaryArray.from_arrays(coded.indices, pa.array(known, pa.string()))

    def used(self, numbers: Numbers) -> None:
        """Note what was used, and forget the rest where there is too much."""
        self._column += 1
        self._used.values[numbers] = self._column
        if self._size <= self._capacity:
            return
        old, words, used = self._numbers, self._words, self._used.values
        del old[""]
        keys = sorted(old, key=lambda key: -used[old[key]])[: self._capacity // 2]
        kept = [old[key] for key in keys]
        spans = zip(self._starts.values[kept], self.lengths[kept], strict=True)
        codes = [None if n < 0 else self._codes.values[start : start + n] for start, n in spans]
        answers = [None if c is None else " ".join(words[code] for code in c) for c in codes]
        self._clear()
        added = self.add(keys, answers)
        self._used.values[added.start :] = used[kept]


class _Column:
    """An array that grows at its end, in steps that double it."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._room = np.empty(1_024, dtype)
        self._size = 0

    @property
    def values(self) -> npt.NDArray[Any]:
        return self._room[: self._size]

    def extend(self, values: npt.ArrayLike) -> None:
        added = np.asarray(values, self._room.dtype)
        size = self._size + len(added)
        if size > len(self._room):
            self._room = np.resize(self._room, max(size, 2 * len(self._room)))
        self._room[self._size : size] = added
        self._size = size

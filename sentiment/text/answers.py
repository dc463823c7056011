"""A bounded memory of how pieces of text are split into words, read and written by the column."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# A piece of text, or one in a context: whether text stands before it and behind it.
Key: TypeAlias = str | tuple[bool, str, bool]
Words: TypeAlias = Sequence[str]
Numbers: TypeAlias = npt.NDArray[np.int64]

LONGEST = 40  # characters of a piece that is remembered; longer ones seldom recur


class Answers:
    """The words of pieces of text, by number. The empty text has the number 0.

    Whoever uses numbers says so at the end with ``used``, after which they may no longer hold:
    about ``capacity`` answers are kept, and when there are more, the half that was used last.

    Attributes:
        lengths: The number of words of each answer; -1 where only the context can tell.
        begins: Whether each piece begins with a letter or digit.
        ends: Whether it ends with one.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._column = 0  # counts the calls of ``used``
        self._clear()

    def _clear(self) -> None:
        self._numbers: dict[Key, int] = {}
        self._words: dict[str, int] = {}
        self._size = 0
        self._codes = np.empty(0, np.int32)  # of the words of all answers, one after the other
        self._starts, self.lengths = np.empty(0, np.int64), np.empty(0, np.int64)
        self.begins, self.ends = np.empty(0, np.bool_), np.empty(0, np.bool_)
        self._used = np.empty(0, np.int64)  # the last column that used it
        self.add([""], [()])

    def __len__(self) -> int:
        return len(self._numbers) - 1  # without the empty text

    def __contains__(self, key: Key) -> bool:
        return key in self._numbers

    def number(self, key: Key) -> int | None:
        """Return the number of a piece, None if it is not known."""
        return self._numbers.get(key)

    def add(self, keys: Sequence[Key], answers: Sequence[Words | None]) -> range:
        """Number new answers, None for those that only the context can tell."""
        texts = [key if isinstance(key, str) else key[1] for key in keys]
        new = range(len(self.lengths), len(self.lengths) + len(keys))
        words = self._words
        codes = [words.setdefault(word, len(words)) for a in answers for word in a or ()]
        lengths = np.array([-1 if a is None else len(a) for a in answers], np.int64)
        sizes = np.maximum(lengths, 0)
        self._starts = np.append(self._starts, len(self._codes) + np.cumsum(sizes) - sizes)
        self._codes = np.append(self._codes, np.array(codes, np.int32))
        self.lengths = np.append(self.lengths, lengths)
        begins, ends = [t[:1].isalnum() for t in texts], [t[-1:].isalnum() for t in texts]
        self.begins = np.append(self.begins, np.array(begins, np.bool_))
        self.ends = np.append(self.ends, np.array(ends, np.bool_))
        self._used = np.append(self._used, np.full(len(keys), self._column))
        for key, text, number in zip(keys, texts, new, strict=True):
            if len(text) <= LONGEST:
                self._numbers[key] = number
        self._size += sum(1 + len(text) // LONGEST for text in texts)
        return new

    def words(self, numbers: Numbers) -> pa.DictionaryArray:
        """Return the words of all these answers, one after the other."""
        lengths = self.lengths[numbers]
        ends = np.cumsum(lengths)
        at = np.arange(ends[-1] if len(ends) else 0)
        at += np.repeat(self._starts[numbers] - ends + lengths, lengths)
        coded = pa.array(self._codes[at]).dictionary_encode()
        words = list(self._words)
        known = pa.array([words[code] for code in coded.dictionary.to_pylist()], pa.string())
        return pa.DictionaryArray.from_arrays(coded.indices, known)

    def used(self, numbers: Numbers) -> None:
        """Note what was used, and forget the rest where there is too much."""
        self._column += 1
        self._used[numbers] = self._column
        if self._size <= self._capacity:
            return
        old, words = self._numbers, list(self._words)
        del old[""]
        keys = sorted(old, key=lambda key: -self._used[old[key]])[: self._capacity // 2]
        kept = [old[key] for key in keys]
        used, spans = self._used[kept], zip(self._starts[kept], self.lengths[kept], strict=True)
        answers = [
            None if length < 0 else [words[code] for code in self._codes[start : start + length]]
            for start, length in spans
        ]
        self._clear()
        added = self.add(keys, answers)
        self._used[added.start :] = used

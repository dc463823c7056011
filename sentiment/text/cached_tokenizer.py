"""NLTK's words at many times its speed, by caching its answers for chunks of text.

Texts are tokenized a column at a time: Python touches only what it has not seen before. A *chunk*
is what stands between two spaces. Most chunks are steady: they have the same tokens in every text,
as ``chunks.py`` explains. NLTK is asked about each of them once.

For the others NLTK is asked about a *window*: the open chunks in a row, and the chunk after them if
they end with a period. A window reaches back to a chunk that begins with a letter or digit (being
the first of a sentence means nothing to it, and the chunk before it does not change) or follows one
that ends so (no sentence begins there). In the worst case a window is the whole text.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sentiment.text.answers import Answers, Numbers, Words
from sentiment.text.chunks import evident, is_steady, stand_in
from sentiment.text.nltk_words import MARK, ask, word_tokenize

Window: TypeAlias = tuple[bool, str, bool]  # its text, and whether a mark stands before and behind

FEW = 100  # chunks that NLTK answers in the time that Arrow takes to compile its patterns


class CachedTokenizer:
    """Splits texts into words exactly as ``word_tokenize`` does, and caches its answers."""

    def __init__(self, capacity: int = 400_000) -> None:
        self.answers = Answers(capacity)

    def tokenize(self, texts: pa.StringArray) -> pa.ListArray:
        """Return each text's words, a list of dictionary-coded strings; no text may be null."""
        if not len(texts):
            return pa.array([], pa.list_(pa.dictionary(pa.int32(), pa.string())))
        encoded, first = _chunks(texts)
        places, of_chunks = encoded.indices.to_numpy(), self._numbers_of(encoded.dictionary)
        numbers = of_chunks[places]
        if (self.answers.lengths[of_chunks] < 0).any():
            self._answer_windows(encoded.dictionary.to_pylist(), places, numbers, first[:-1])
        words = self.answers.words(numbers)
        rows = np.append(0, np.cumsum(self.answers.lengths[numbers]))[first]
        self.answers.used(np.append(numbers, of_chunks))
        return pa.ListArray.from_arrays(pa.array(rows, pa.int32()), words)

    def _numbers_of(self, chunks: pa.StringArray) -> Numbers:
        """Return the numbers of chunks, and answer those that are new, if they are steady."""
        texts = chunks.to_pylist()
        numbers = self.answers.numbers(texts)
        new = [at for at, number in enumerate(numbers) if number is None]
        if new:
            fresh = [texts[at] for at in new]
            column = evident(chunks.take(pa.array(new))) if len(new) >= FEW else pa.nulls(len(new))
            answers = column.to_pylist()
            asked = [at for at, a in enumerate(answers) if a is None and is_steady(fresh[at])]
            for at, answer in zip(asked, ask([fresh[at] for at in asked]), strict=True):
                answers[at] = answer
            for at, number in zip(new, self.answers.add(fresh, answers), strict=True):
                numbers[at] = number
        return np.array(numbers, np.int32)

    def _answer_windows(
        self,
        chunks: Sequence[str],
        places: npt.NDArray[np.int32],
        numbers: Numbers,
        first: npt.NDArray[np.int64],
    ) -> None:
        """Put the answers of windows in the place of open chunks.

        ``numbers`` are those of all chunks of all texts, ``places`` where they are among the
        distinct ``chunks``, ``first`` where each text begins.
        """
        begin = np.zeros(len(numbers) + 1, np.bool_)  # of a text; also behind the last one
        begin[first] = begin[-1] = True
        lengths = self.answers.lengths[numbers]
        waiting: dict[Window, list[int]] = {}
        surplus: dict[Window, int] = {}
        for start, stop in _windows(chunks, places, lengths, begin):
            text = " ".join([chunks[at] for at in places[start:stop].tolist()])
            right, after = not begin[stop], 0
            if right and text.rstrip().endswith("."):
                follower = chunks[places[stop]]
                likeness = stand_in(follower)
                text += f" {likeness or follower}"
                after = 1 if likeness else int(lengths[stop])
            # A mark stands for the rest of the text, where there is some.
            window = (not begin[start] or text[:1].isalnum(), text, right)
            waiting.setdefault(window, []).append(start)
            surplus[window] = after
            numbers[start + 1 : stop] = 0
        of_windows = self.answers.numbers(waiting)
        new = [window for window, number in zip(waiting, of_windows, strict=True) if number is None]
        asked = _ask_windows(new) if new else []
        answers = [
            " ".join(words[: len(words) - surplus[window]])
            for window, words in zip(new, map(str.split, asked), strict=True)
        ]
        added = iter(self.answers.add(new, answers))
        for number, starts in zip(of_windows, waiting.values(), strict=True):
            numbers[starts] = next(added) if number is None else number


def _windows(
    chunks: Sequence[str],
    places: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.int32],
    begin: npt.NDArray[np.bool_],
) -> list[tuple[int, int]]:
    """Return where the windows start and stop; none goes beyond its text."""

    def may_start(at: int) -> bool:
        return bool(
            begin[at] or chunks[places[at]][:1].isalnum() or chunks[places[at - 1]][-1:].isalnum()
        )

    windows: list[tuple[int, int]] = []
    stop = 0  # of the window before
    for opened in np.flatnonzero(lengths < 0).tolist():
        if opened < stop:
            continue
        start = opened
        while start > stop and not may_start(start):
            start -= 1
        if windows and start == stop and not may_start(start):
            start, _ = windows.pop()
        stop = opened + 1
        while not begin[stop] and lengths[stop] <= 0:  # the empty chunk joins what is open
            stop += 1
        windows.append((start, stop))
    return windows


def _chunks(texts: pa.StringArray) -> tuple[pa.DictionaryArray, npt.NDArray[np.int64]]:
    """Cut texts at their spaces; return all chunks and the place of each text's first one."""
    _, offsets, characters = pc.binary_join_element_wise(texts, "", " ").buffers()
    starts = np.frombuffer(offsets, np.int32, len(texts) + 1)
    spaces = np.flatnonzero(np.frombuffer(characters, np.uint8, starts[-1]) == ord(" "))
    cuts = np.append(0, spaces + 1).astype(np.int32)
    spaced = pa.StringArray.from_buffers(len(spaces), pa.py_buffer(cuts), characters)
    coded = spaced.dictionary_encode()
    chunks = pc.ascii_rtrim(coded.dictionary, " ")
    return pa.DictionaryArray.from_arrays(coded.indices, chunks), np.searchsorted(cuts, starts)


def _ask_windows(windows: Sequence[Window]) -> list[Words]:
    inner = [text for left, text, right in windows if left and right and MARK not in text]
    answers = dict(zip(inner, ask(inner), strict=True))
    found = []
    for left, text, right in windows:
        if left and right and MARK not in text:
            found.append(answers[text])
        else:
            words = word_tokenize(f"{MARK} " * left + text + f" {MARK}" * right)
            found.append(" ".join(words[left : len(words) - right]))
    return found

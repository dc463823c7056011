"""NLTK's words at many times its speed, by caching its answers for chunks of text.

Texts are tokenized a column at a time: Python touches only what it has not seen before.

A *chunk* is what stands between two spaces. The answer of ``nltk_words.word_tokenize`` for a text
is put together from answers for its chunks, which rests on three facts about NLTK:

1. *Words.* Each rule of ``NLTKWordTokenizer`` matches inside one chunk and at most the space
   beside it. So within a sentence a chunk's tokens depend on nothing but whether it is the first
   (only ``"`` and ``''`` at its start care) and whether it is the last (only a period, an
   apostrophe or closing signs at its end care). One rule looks further: the sentence's last
   period, behind which chunks of closing signs alone may stand.
2. *Sentences.* Whether Punkt ends a sentence behind a ``.``, ``?`` or ``!`` depends on its chunk
   and, if it is the chunk's last character, on the chunk after it. A sentence may end inside a
   chunk only where one of these is followed by a sign of ``PunktLanguageVars._re_non_word_chars``.
   Closing signs after the break join the sentence before it, if a space or ``--`` follows them.
3. *Periods.* Behind an ASCII word of two letters or more Punkt always ends the sentence, unless
   the word ends as one of its abbreviations or collocations does; so it does behind a closing
   sign with a period after it. An ellipsis may end a sentence or not: its tokens are the same.

A chunk is *steady* if by these facts it has the same tokens in every text: the pattern ``_STEADY``
tells. It begins with signs that neither quote nor close, then perhaps one quote, then a letter or
digit; up to its last letter or digit, any of ``.?!`` is followed by a letter, a digit or a
period; and it ends in one of a few ways:

- with signs but none of ``.?!'``;
- with ``?`` or ``!``, a sure break, and then closing signs, which join it, or one of ``:;,``;
- with an ellipsis, and then signs but none of ``.?!'``;
- with ``.,``, which is no break, or with a closing sign, ``?`` or ``!`` and a period;
- with a period that is sure by fact 3, and then closing signs, which join it, or one of ``:;``.

Signs that neither quote nor close, sentence ends and periods are steady alone, too.

All other chunks are *open*: abbreviations, initials and numbers before a period, closing signs
alone, sentence breaks inside, apostrophes at the end, white space other than spaces, what is long.
NLTK is asked about a *window*: the open chunks in a row, and the chunk after them if they end with
a period. A window reaches back to a chunk that begins with a letter or digit (being the first of
a sentence means nothing to it, and the chunk before it does not change) or follows one that ends
so (no sentence begins there). In the worst case a window is the whole text.
"""

import re
from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from punkt.data import english

from sentiment.text.answers import LONGEST, Answers, Numbers, Words
from sentiment.text.nltk_words import word_tokenize

Window: TypeAlias = tuple[bool, str, bool]  # its text, and whether a mark stands before and behind

# A chunk that no rule of NLTK's knows; it stands between questions asked together.
MARK = "\ue001"

_PLAIN = r"[^\s\w.?!'\")\]}‘’“”«»]"  # signs that neither quote, close, nor end a sentence
_STEADY = re.compile(
    rf"""
    {_PLAIN}* ["']? (?=\w) (?: [^\s.?!] | [.?!](?=[\w.]) )* (?<=\w)
    (?: [^\s\w.?!']*
      | [?!]+ (?: ["\])}}]* | [:;,] )
      | \.\.+ [^\s\w.?!']*
      | \.,
      | (?: ["\])}}]+ | [?!]+ ) \.
      | (?P<stop> \. ) (?: ["'\])}}]* | [:;] )
    )
    | (?: (?!>) {_PLAIN} )+ | [?!]+ | \.+
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"([A-Za-z']{2,})\.[^\w.]*$")
_UNSURE = {
    re.split(r"[^a-z]", word)[-1]
    for word in chain(english.ABBREV_TYPES, (first for first, _ in english.COLLOCATIONS))
}

# Most chunks never seen before are a word and punctuation. No rule of NLTK's touches ASCII letters
# and digits but in the six words named here, or single signs among them, and each sign after them
# becomes a token. To know this saves a third of the time.
_EVIDENT = re.compile(
    r"""(?!.*(?:cannot|gimme|gonna|gotta|lemme|wanna))
    (["(]?) ([a-z0-9]+(?:[-./_][a-z0-9]+)*) ('s)?
    ((?:\.\.+)?[")\],:;?!]* | [")\]?!]+\. | \.[")\]:;]*)
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_SIGN = re.compile(r"\.+|[^.]")


def is_steady(chunk: str) -> bool:
    """Return whether a chunk has the same tokens in every text."""
    if len(chunk) > LONGEST or MARK in chunk:
        return False
    shape = _STEADY.fullmatch(chunk)
    if shape is None or shape["stop"] is None:
        return shape is not None
    word = _LAST_WORD.search(chunk)
    return chunk.isascii() and word is not None and word[1].lower() not in _UNSURE


class CachedTokenizer:
    """Splits texts into words exactly as ``word_tokenize`` does, and caches its answers."""

    def __init__(self, capacity: int = 400_000) -> None:
        self.answers = Answers(capacity)

    def tokenize(self, texts: pa.StringArray) -> pa.ListArray:
        """Return each text's words, a list of dictionary-coded strings; no text may be null."""
        split = pc.split_pattern(texts, " ")
        first = np.append(0, np.cumsum(pc.list_value_length(split)))  # chunk of each text
        encoded = split.flatten().dictionary_encode()
        chunks, places = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        of_chunks = self._numbers_of(chunks)
        numbers = of_chunks[places]
        if (self.answers.lengths[of_chunks] < 0).any():
            self._answer_windows(chunks, places, numbers, first[:-1])
        words = self.answers.words(numbers)
        rows = np.append(0, np.cumsum(self.answers.lengths[numbers]))[first]
        self.answers.used(np.append(numbers, of_chunks))
        return pa.ListArray.from_arrays(pa.array(rows, pa.int32()), words)

    def _numbers_of(self, chunks: Sequence[str]) -> Numbers:
        """Return the numbers of chunks, and answer those that are new, if they are steady."""
        found = list(map(self.answers.number, chunks))
        fresh = [chunk for chunk, number in zip(chunks, found, strict=True) if number is None]
        if fresh:
            answers: list[Words | None] = [_evident(chunk) for chunk in fresh]
            steady = [at for at, a in enumerate(answers) if a is None and is_steady(fresh[at])]
            for at, answer in zip(steady, _ask([fresh[at] for at in steady]), strict=True):
                answers[at] = answer
            new = iter(self.answers.add(fresh, answers))
            found = [next(new) if number is None else number for number in found]
        return np.array(found, np.int64)

    def _answer_windows(
        self,
        chunks: Sequence[str],
        places: npt.NDArray[np.int32],
        numbers: Numbers,
        first: Numbers,
    ) -> None:
        """Put the answers of windows in the place of open chunks.

        ``numbers`` are those of all chunks of all texts, ``places`` where they are among the
        distinct ``chunks``, ``first`` where each text begins.
        """
        begin = np.zeros(len(numbers) + 1, np.bool_)  # of a text; also behind the last one
        begin[first] = begin[-1] = True
        waiting: dict[Window, list[int]] = {}
        surplus: dict[Window, int] = {}
        for start, stop in self._windows(numbers, begin):
            text = " ".join([chunks[at] for at in places[start:stop].tolist()])
            right, after = not begin[stop], 0
            if right and text.rstrip().endswith("."):
                text += f" {chunks[places[stop]]}"
                after = int(self.answers.lengths[numbers[stop]])
            # A mark stands for the rest of the text, where there is some.
            window = (not begin[start] or text[:1].isalnum(), text, right)
            number = self.answers.number(window)
            if number is None:
                waiting.setdefault(window, []).append(start)
                surplus[window] = after
            else:
                numbers[start] = number
            numbers[start + 1 : stop] = 0
        if waiting:
            answers = [
                answer[: len(answer) - surplus[window]]
                for window, answer in zip(waiting, _ask_windows([*waiting]), strict=True)
            ]
            new = self.answers.add([*waiting], answers)
            for number, starts in zip(new, waiting.values(), strict=True):
                numbers[starts] = number

    def _windows(self, numbers: Numbers, begin: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Return where the windows start and stop; none goes beyond its text."""
        place = np.arange(len(begin))
        lengths = self.answers.lengths[numbers]
        may_start = begin[:-1] | self.answers.begins[numbers]
        may_start[1:] |= self.answers.ends[numbers[:-1]]
        start_of = np.maximum.accumulate(np.where(may_start, place[:-1], 0))
        may_stop = begin.copy()
        may_stop[:-1] |= lengths > 0  # the empty chunk, too, joins what is open
        stop_of = np.minimum.accumulate(np.where(may_stop, place, len(numbers))[::-1])[::-1]
        opened = np.flatnonzero(lengths < 0)
        starts, stops = start_of[opened], stop_of[opened + 1]
        apart = starts[1:] >= stops[:-1]  # windows that overlap are one
        starts, stops = starts[np.append(True, apart)], stops[np.append(apart, True)]
        return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _evident(chunk: str) -> Words | None:
    match = _EVIDENT.fullmatch(chunk)
    if match is None or not (match[2] == chunk or is_steady(chunk)):
        return None
    before, word, clitic, after = match.groups()
    if word == chunk:
        return (chunk,)
    signs = ("''" if sign == '"' else sign for sign in _SIGN.findall(after))
    return tuple(filter(None, ("``" if before == '"' else before, word, clitic, *signs)))


def _ask(questions: Sequence[str]) -> list[list[str]]:
    """Ask NLTK all questions in one text: a call costs as much as several chunks."""
    tokens = word_tokenize(f" {MARK} ".join(["", *questions, ""])) if questions else []
    answers, at = [], 1
    for _ in questions:
        end = tokens.index(MARK, at)
        answers.append(tokens[at:end])
        at = end + 1
    return answers


def _ask_windows(windows: Sequence[Window]) -> list[list[str]]:
    inner = [text for left, text, right in windows if left and right and MARK not in text]
    answers = dict(zip(inner, _ask(inner), strict=True))
    found = []
    for left, text, right in windows:
        if left and right and MARK not in text:
            found.append(answers[text])
        else:
            words = word_tokenize(f"{MARK} " * left + text + f" {MARK}" * right)
            found.append(words[left : len(words) - right])
    return found

"""NLTK's words at several times its speed, by caching its answers for chunks of text.

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
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import cast

from punkt.data import english

from sentiment.text.nltk_words import word_tokenize

Tokens = tuple[str, ...]

# A chunk that no rule of NLTK's knows; it stands between questions asked together.
MARK = "\ue001"
LONGEST = 40  # characters of a cached chunk or window; longer ones seldom recur

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
    """Splits texts into words exactly as ``word_tokenize`` does, and caches its answers.

    At most ``capacity`` answers are kept, in two halves: when the recent half is full, it becomes
    the older one, whose answers are dropped unless they are used again. So frequent ones stay, and
    a hit in the recent half costs nothing extra.
    """

    def __init__(self, capacity: int = 400_000) -> None:
        self._half = capacity // 2
        self._recent: dict[str, Tokens] = {}
        self._older: dict[str, Tokens] = {}

    def __len__(self) -> int:
        """Return the number of cached answers."""
        return len(self._recent) + len(self._older)

    def tokenize(self, text: str) -> list[str]:
        """Return a text's words."""
        return self.tokenize_all([text])[0]

    def tokenize_all(self, texts: Sequence[str]) -> list[list[str]]:
        """Return each text's words; faster than text by text, as NLTK is asked less often."""
        split = [text.split(" ") for text in texts]
        rows: list[list[Tokens | None]] = [list(map(self._recent.get, chunks)) for chunks in split]
        gaps = [(chunks, row) for chunks, row in zip(split, rows, strict=True) if None in row]
        answers = self._answers(
            {c for chunks, row in gaps for c, part in zip(chunks, row, strict=True) if part is None}
        )
        waiting = []
        for chunks, row in gaps:
            for at, part in enumerate(row):
                if part is None:
                    row[at] = answers.get(chunks[at])
            for start, stop in _windows(chunks, row) if None in row else ():
                question, surplus = " ".join(chunks[start:stop]), 0
                if stop < len(row) and question.rstrip().endswith("."):
                    question += f" {chunks[stop]}"
                    surplus = len(row[stop] or ())
                # A mark stands for the rest of the text, where there is some.
                left = f"{MARK} " if start or question[:1].isalnum() else ""
                right = f" {MARK}" if stop < len(row) else ""
                if left and right and MARK not in question:
                    waiting.append((row, start, stop, f" {question} ", surplus))
                else:
                    found = word_tokenize(left + question + right)[bool(left) :]
                    _put(row, start, stop, found, surplus + bool(right))
        answers = self._answers({question for *_, question, _ in waiting})
        for row, start, stop, question, surplus in waiting:
            _put(row, start, stop, answers[question], surplus)
        return [list(chain.from_iterable(cast(list[Tokens], row))) for row in rows]

    def _answers(self, questions: Iterable[str]) -> dict[str, Tokens]:
        """Answer all windows (which have spaces) and, of the chunks, those that are steady."""
        answers: dict[str, Tokens] = {"": ()}
        unknown = []
        for question in questions:
            found = self._recent.get(question)
            if found is None:
                found = self._older.get(question) or _evident(question)
                if found is not None:
                    self._keep(question, found)
                elif " " in question or is_steady(question):
                    unknown.append(question)
            if found is not None:
                answers[question] = found
        for question, found in _ask(unknown):
            answers[question] = found
            self._keep(question, found)
        return answers

    def _keep(self, question: str, answer: Tokens) -> None:
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        if self._half and len(question) <= LONGEST:
            self._recent[question] = answer


def _evident(chunk: str) -> Tokens | None:
    match = _EVIDENT.fullmatch(chunk)
    if match is None or not (match[2] == chunk or is_steady(chunk)):
        return None
    before, word, clitic, after = match.groups()
    if word == chunk:
        return (chunk,)
    signs = ("''" if sign == '"' else sign for sign in _SIGN.findall(after))
    return tuple(filter(None, ("``" if before == '"' else before, word, clitic, *signs)))


def _ask(questions: Sequence[str]) -> Iterator[tuple[str, Tokens]]:
    """Ask NLTK all questions in one text: a call costs as much as several chunks."""
    tokens = word_tokenize(f" {MARK} ".join(["", *questions, ""])) if questions else []
    at = 1
    for question in questions:
        end = tokens.index(MARK, at)
        yield question, tuple(tokens[at:end])
        at = end + 1


def _windows(chunks: Sequence[str], row: Sequence[Tokens | None]) -> list[tuple[int, int]]:
    """Return where the windows start and stop; a row holds None for an open chunk."""
    windows: list[tuple[int, int]] = []
    stop = 0
    for start, part in enumerate(row):
        if part is not None or start < stop:
            continue
        stop = start + 1
        while stop < len(row) and not row[stop]:  # also the empty chunk between two spaces
            stop += 1
        while start and not chunks[start][:1].isalnum() and not chunks[start - 1][-1:].isalnum():
            start -= 1
            if windows and start < windows[-1][1]:
                start = windows.pop()[0]
        windows.append((start, stop))
    return windows


def _put(
    row: list[Tokens | None], start: int, stop: int, found: Sequence[str], surplus: int
) -> None:
    row[start:stop] = [tuple(found[: len(found) - surplus])] + [()] * (stop - start - 1)

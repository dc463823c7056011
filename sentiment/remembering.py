import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from punkt.data import english

from sentiment.words import word_tokenize

Tokens = tuple[str, ...]

MARK = "\ue001"
LONGEST = 40

_PLAIN = r"[^\s\w.?!'\")\]}‘’“”«»]"
_STEADY = re.compile(
    rf"""
    {_PLAIN}* ["']? (?=\w)
    (?: [^\s.?!] | [.?!](?=[\w.]) )* (?<=\w)
    (?: [^\s\w.?!']*
      | [?!]+ (?: ["\])}}]* | [:;,] )
      | \.\.+ [^\s\w.?!']*
      | \.,
      | (?: ["\])}}]+ | [?!]+ ) \.
      | (?P<stop> \. ) (?: ["'\])}}]* | [:;] )
    )
    | (?: (?!>){_PLAIN} )+ | [?!]+ | \.+
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"([A-Za-z']{2,})\.[^\w.]*$")
_UNSURE = {
    re.split(r"[^a-z]", word)[-1]
    for word in chain(english.ABBREV_TYPES, (first for first, _ in english.COLLOCATIONS))
}


def is_steady(chunk: str) -> bool:
    if len(chunk) > LONGEST:
        return False
    shape = _STEADY.fullmatch(chunk)
    if shape is None or shape["stop"] is None:
        return shape is not None
    word = _LAST_WORD.search(chunk)
    return chunk.isascii() and word is not None and word[1].lower() not in _UNSURE


class RememberingTokenizer:
    def __init__(self, capacity: int = 1_000_000) -> None:
        self._half = capacity // 2
        self._recent: dict[str, Tokens] = {}
        self._older: dict[str, Tokens] = {}

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def tokenize(self, text: str) -> list[str]:
        return self.tokenize_all([text])[0]

    def tokenize_all(self, texts: Sequence[str]) -> list[list[str]]:
        marked = {at: word_tokenize(text) for at, text in enumerate(texts) if MARK in text}
        split = [[] if at in marked else text.split(" ") for at, text in enumerate(texts)]
        known = self._recall(set().union(*split), only_steady=True)
        known[""] = ()
        rows = [list(map(known.get, chunks)) for chunks in split]
        open_ = [
            (row, window)
            for chunks, row in zip(split, rows, strict=True)
            if None in row
            for window in _windows(chunks, row)
        ]
        answers = self._recall({q for _, (_, _, q, _) in open_})
        for row, (start, stop, question, anchor) in open_:
            answer = answers[question]
            row[start:stop] = [answer[: len(answer) - anchor]] + [()] * (stop - start - 1)
        result = [list(chain.from_iterable(row)) for row in rows]
        for at, tokens in marked.items():
            result[at] = tokens
        return result

    def _recall(self, questions: Iterable[str], only_steady: bool = False) -> dict[str, Tokens]:
        recent, older = self._recent, self._older
        answers = {}
        unknown = []
        for q in questions:
            found = recent.get(q)
            if found is None:
                found = older.get(q)
                if found is None:
                    if not only_steady or is_steady(q):
                        unknown.append(q)
                    continue
                self._remember(q, found)
            answers[q] = found
        for q, found in _ask(unknown):
            answers[q] = found
            if len(q) <= LONGEST:
                self._remember(q, found)
        return answers

    def _remember(self, question: str, answer: Tokens) -> None:
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        if self._half:
            self._recent[question] = answer


def _ask(questions: Sequence[str]) -> Iterator[tuple[str, Tokens]]:
    inner = []
    for q in questions:
        if " " not in q or q[0] == q[-1] == " ":
            inner.append(q)
            continue
        left = MARK if q[0] == " " else ""
        right = MARK if q[-1] == " " else ""
        tokens = word_tokenize(left + q + right)
        yield q, tuple(tokens[len(left) : len(tokens) - len(right)])
    if inner:
        tokens = word_tokenize(f" {MARK} ".join(["", *inner, ""]))
        at = 1
        for q in inner:
            end = tokens.index(MARK, at)
            yield q, (q,) if end == at + 1 and tokens[at] == q else tuple(tokens[at:end])
            at = end + 1


def _windows(chunks: list[str], row: list[Tokens | None]) -> list[tuple[int, int, str, int]]:
    windows: list[tuple[int, int, str, int]] = []
    stop = 0
    while None in row[stop:]:
        start = row.index(None, stop)
        stop = start + 1
        while stop < len(row) and not row[stop]:
            stop += 1
        while start and not chunks[start][:1].isalnum() and not chunks[start - 1][-1:].isalnum():
            start -= 1
        while windows and start < windows[-1][1]:
            start = windows.pop()[0]
        question = " ".join(chunks[start:stop])
        anchor = 0
        if stop == len(row):
            question = question.rstrip(" ")
        elif question.rstrip().endswith("."):
            question += f" {chunks[stop]} "
            anchor = len(row[stop] or ())
        else:
            question += " "
        if start or chunks[0][:1].isalnum():
            question = " " + question
        windows.append((start, stop, question, anchor))
    return windows

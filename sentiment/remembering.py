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
_EVIDENT = re.compile(
    r"""(?!.*(?:cannot|gimme|gonna|gotta|lemme|wanna))
    (["(]?) ([a-z0-9]+(?:[-./_][a-z0-9]+)*) ('s)? ((?:\.\.+)?[")\],:;?!]*|[")\]?!]+\.|\.[")\]:;]*)
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_SIGN = re.compile(r"\.+|[^.]")


def is_steady(chunk: str) -> bool:
    if len(chunk) > LONGEST or MARK in chunk:
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
        split = [text.split(" ") for text in texts]
        rows: list[list[Tokens | None]] = [list(map(self._recent.get, chunks)) for chunks in split]
        gaps = [(chunks, row) for chunks, row in zip(split, rows, strict=True) if None in row]
        learned = self._answers(
            {c for chunks, row in gaps for c, part in zip(chunks, row, strict=True) if part is None}
        )
        waiting = []
        for chunks, row in gaps:
            for at, part in enumerate(row):
                if part is None:
                    row[at] = learned.get(chunks[at])
            if None not in row:
                continue
            for start, stop in _windows(chunks, row):
                question = " ".join(chunks[start:stop])
                next_tokens: Tokens = ()
                if stop < len(row) and question.rstrip().endswith("."):
                    question += f" {chunks[stop]}"
                    next_tokens = row[stop] or ()
                left = f"{MARK} " if start or question[:1].isalnum() else ""
                right = f" {MARK}" if stop < len(row) else ""
                if left and right and MARK not in question:
                    waiting.append((row, start, stop, f" {question} ", len(next_tokens)))
                else:
                    tokens = word_tokenize(left + question + right)
                    end = len(tokens) - len(next_tokens) - bool(right)
                    _put(row, start, stop, tuple(tokens[bool(left) : end]))
        learned = self._answers({question for *_, question, _ in waiting})
        for row, start, stop, question, surplus in waiting:
            found = learned[question]
            _put(row, start, stop, found[: len(found) - surplus])
        return [list(chain.from_iterable(filter(None, row))) for row in rows]

    def _answers(self, questions: Iterable[str]) -> dict[str, Tokens]:
        answers: dict[str, Tokens] = {"": ()}
        unknown = []
        for question in questions:
            found = self._recent.get(question)
            if found is None:
                found = self._older.get(question) or _evident(question)
                if found is not None:
                    self._remember(question, found)
                elif " " in question or is_steady(question):
                    unknown.append(question)
                    continue
                else:
                    continue
            answers[question] = found
        for question, found in _ask(unknown):
            answers[question] = found
            self._remember(question, found)
        return answers

    def _remember(self, question: str, answer: Tokens) -> None:
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        if self._half and len(question) <= LONGEST:
            self._recent[question] = answer


def _evident(chunk: str) -> Tokens | None:
    match = _EVIDENT.fullmatch(chunk)
    if match is None:
        return None
    before, word, clitic, after = match.groups()
    if word == chunk:
        return (chunk,)
    if not is_steady(chunk):
        return None
    signs = ("''" if sign == '"' else sign for sign in _SIGN.findall(after))
    return tuple(filter(None, ("``" if before == '"' else before, word, clitic, *signs)))


def _ask(questions: Sequence[str]) -> Iterator[tuple[str, Tokens]]:
    if questions:
        tokens = word_tokenize(f" {MARK} ".join(["", *questions, ""]))
        at = 1
        for question in questions:
            end = tokens.index(MARK, at)
            yield question, tuple(tokens[at:end])
            at = end + 1


def _windows(chunks: list[str], row: list[Tokens | None]) -> list[tuple[int, int]]:
    windows: list[tuple[int, int]] = []
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
        windows.append((start, stop))
    return windows


def _put(row: list[Tokens | None], start: int, stop: int, tokens: Tokens) -> None:
    row[start:stop] = [tokens] + [()] * (stop - start - 1)

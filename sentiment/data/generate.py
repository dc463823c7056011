"""Stage ``sample``: generated reviews for trying the pipeline, in the Kaggle fastText format.

A small grammar generates the reviews, so results on them say nothing about real ones. Its idea: an
opinion has a sign, and words such as "not", "but" and "although" flip the sign or choose between
two. So good and bad reviews use the same words, and a model has to read their order: "not good at
all", "could not be better".
"""

import bz2
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

from pydantic import Field

from sentiment.data.grammar import KINDS, NEUTRAL, OPINION, POLAR
from sentiment.files import replacing
from sentiment.progress import Progress, silent
from sentiment.settings import Settings

# A symbol is the list of its options. An option is a literal, or its parts in reverse order, ready
# to push on a stack.
Part: TypeAlias = "str | list[Option]"
Option: TypeAlias = "str | tuple[Part, ...]"

CHUNK: Final = 2_000  # reviews compressed, and reported, at a time
PENDING: Final = 8  # chunks waiting for the compressor, to bound the memory

# Placeholders: the product is drawn once per review, at the end.
BOUND: Final = {"item": "\x01", "brand": "\x02"}

_OPTION_END: Final = re.compile(r"\s*[|\n]\s*")
_WEIGHT: Final = re.compile(r"(\d+)\* ")
_PART: Final = re.compile(r"\{(\^?)(-?)(\w+)\}|[^{]+")


class SampleConfig(Settings):
    """How many reviews are generated."""

    train: int = Field(12_000, ge=2, description="Lines of the training file.")
    test: int = Field(3_000, ge=4, description="Lines of the test file, half of it validation.")
    seed: int = Field(1, ge=0, description="Random seed of the reviews.")


def write_sample_reviews(
    *, sample: SampleConfig, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Stage ``sample``: write both files into ``out``; return the number of reviews."""
    write_sample(out, train=sample.train, test=sample.test, seed=sample.seed, progress=progress)
    return {"rows": sample.train + sample.test}


def write_sample(
    folder: Path, *, train: int, test: int, seed: int, progress: Progress = silent
) -> tuple[Path, Path]:
    """Write ``train.ft.txt.bz2`` and ``test.ft.txt.bz2`` into a folder; return their paths.

    The folder is created if missing. A file's bytes depend only on the seed and on its own number
    of reviews. Neither file appears before both are complete. ``progress`` counts the reviews of
    both. Raises ValueError for a negative number of reviews.
    """
    rows = {"train": train, "test": test}
    reviews = {split: generate_reviews(rows[split], seed=seed, split=split) for split in rows}
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "train.ft.txt.bz2", folder / "test.ft.txt.bz2"
    with replacing(paths[0]) as train_file, replacing(paths[1]) as test_file:
        done = _write(train_file, reviews["train"], 0, train + test, progress)
        _write(test_file, reviews["test"], done, train + test, progress)
    return paths


def generate_reviews(count: int, *, seed: int, split: str) -> Iterator[tuple[int, str]]:
    """Return ``count`` reviews as (label, "title: body"), label 1 for good and 0 for bad.

    Each split and seed has its own stream; a smaller count is a prefix of a larger one.
    """
    if count < 0:
        raise ValueError(f"{split}: the number of reviews is negative: {count}")
    return islice(_reviews(Random(f"{split} {seed}")), count)


def _write(
    path: Path, reviews: Iterator[tuple[int, str]], done: int, total: int, progress: Progress
) -> int:
    """Write the reviews, which a thread compresses; return ``done`` plus their number."""
    pending: deque[Future[int]] = deque()
    with bz2.open(path, "wb") as file, ThreadPoolExecutor(1) as thread:
        while lines := [f"__label__{label + 1} {text}\n" for label, text in islice(reviews, CHUNK)]:
            if len(pending) == PENDING:
                pending.popleft().result()
            pending.append(thread.submit(file.write, "".join(lines).encode()))
            done += len(lines)
            progress(done, total)
        for write in pending:
            write.result()
    return done


def _reviews(rng: Random) -> Iterator[tuple[int, str]]:
    """Yield an endless stream of reviews."""
    random = rng.random  # the fastest draw, and stable across Python versions
    grammars = _grammars()
    while True:
        grammar = grammars[int(random() * len(grammars))]
        label = int(random() * 2)
        text = _expand(grammar.symbol("review", label), random)
        text = text.replace(BOUND["item"], _expand(grammar.symbol("item", label), random))
        text = text.replace(BOUND["brand"], _expand(grammar.symbol("name", label), random))
        yield label, _add_habits(text, random)


class _Grammar:
    """The rules, compiled: one symbol per rule, opinion and case of the first letter."""

    def __init__(self, rules: dict[str, str]) -> None:
        self._rules = rules
        self._symbols: dict[tuple[str, int, bool], list[Option]] = {}
        for name, opinion in product(rules, (0, 1)):
            self.symbol(name, opinion)

    def symbol(self, name: str, opinion: int, capital: bool = False) -> list[Option]:
        """Return the options of the rule ``name`` for a good (1) or a bad (0) opinion."""
        key = name, opinion, capital
        if key not in self._symbols:
            options = self._symbols[key] = []  # set before it is filled: rules may be recursive
            rule = POLAR[name][1 - opinion] if name in POLAR else self._rules[name]
            for line in _OPTION_END.split(rule):
                weight = _WEIGHT.match(line)
                option = self._option(line[weight.end() :] if weight else line, opinion, capital)
                options.extend([option] * (int(weight[1]) if weight else 1))
        return self._symbols[key]

    def _option(self, line: str, opinion: int, capital: bool) -> Option:
        parts: list[Part] = []
        for part in _PART.finditer(line):
            caret, minus, name = part.groups()
            begins = capital and not parts
            if name is None:
                parts.append(part[0][0].upper() + part[0][1:] if begins else part[0])
            elif name in BOUND:
                parts.append(BOUND[name])
            else:
                parts.append(self.symbol(name, opinion ^ bool(minus), begins or bool(caret)))
        if len(parts) == 1 and isinstance(parts[0], str):
            return parts[0]
        return tuple(reversed(parts))


@cache
def _grammars() -> tuple[_Grammar, ...]:
    return tuple(_Grammar(NEUTRAL | OPINION | kind) for kind in KINDS)


def _expand(symbol: list[Option], random: Callable[[], float]) -> str:
    """Expand symbols by random options until only text is left."""
    text: list[str] = []
    stack: list[Part] = [symbol]  # no recursion: this loop takes most of the time
    while stack:
        part = stack.pop()
        if type(part) is str:
            text.append(part)
        else:
            option = part[int(random() * len(part))]
            if type(option) is str:
                text.append(option)
            else:
                stack.extend(option)
    return "".join(text)


def _add_habits(text: str, random: Callable[[], float]) -> str:
    """Add people's writing habits: typos, capitals, or no capitals at all."""
    if random() < 0.35:
        for _ in range(1 + int(random() * len(text) / 40)):
            text = _add_typo(text, int(random() * len(text)), int(random() * 3))
    habit = random()
    if habit < 0.04:
        title, _, body = text.partition(": ")
        text = f"{title.upper()}: {body}"
    elif habit < 0.08:
        sentences = text.split(". ")
        shouted = int(random() * len(sentences))
        sentences[shouted] = sentences[shouted].upper()
        text = ". ".join(sentences)
    elif habit < 0.09:
        text = text.upper()
    elif habit < 0.14:
        text = text.lower()
    return text


def _add_typo(text: str, at: int, kind: int) -> str:
    """Swap, drop or double a letter, but never in a word as short as "not"."""
    if not text[at - 1 : at + 3].isalpha():
        return text
    here, after = text[at], text[at + 1]
    return text[:at] + (after + here, after, here + here + after)[kind] + text[at + 2 :]

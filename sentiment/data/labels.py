"""What the values of a label column mean, and what to say of values that are not known."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from sentiment.settings import Settings

NEGATIVE, POSITIVE, IGNORE = 0, 1, -1
WORDS = {"negative": NEGATIVE, "neg": NEGATIVE, "positive": POSITIVE, "pos": POSITIVE}
PLAIN = {"0": NEGATIVE, "false": NEGATIVE, "1": POSITIVE, "true": POSITIVE}
INTEGER = re.compile(r"([+-]?\d{1,18})(?:\.0*|,0)?")  # 4,0 as some spreadsheets write 4
STARS = re.compile(r"([1-5])[ -]*(?:stars?|/ *5|of 5|out of 5)(?:\.0)?")
NULLS = ("", "nan", "na", "n/a", "none", "null", "-", "?")
NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d*)?")
MOST_VALUES = 100  # different ones that are counted: a column with more holds no labels
MOST_SHOWN = 12

Value = bool | int | float | str
Values = Annotated[
    tuple[Value, ...],
    BeforeValidator(lambda given: given if isinstance(given, list | tuple) else (given,)),
]


def label_name(value: object) -> str:
    """Return how a label is compared: in lowercase, integers without ``.0``; "" for none."""
    if value is None or value != value:  # NaN, as pandas writes nulls
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    name = str(value).strip().lower()
    integer = INTEGER.fullmatch(name)
    return str(int(integer[1])) if integer else name


class Labels(Settings):
    """What the values of a label column mean.

    ``negative`` and ``positive`` in any case, ``neg`` and ``pos`` are always known. 0 and false, 1
    and true are so as long as no values are given for negative and positive.
    """

    negative: Values = Field((), description="The values that mean negative, such as [1, 2].")
    positive: Values = Field((), description="The values that mean positive, such as [4, 5].")
    ignore: Values = Field((), description="The values whose reviews are left out, such as [3].")

    @model_validator(mode="before")
    @classmethod
    def _is_a_map(cls, given: Any) -> Any:
        if isinstance(given, list | tuple):
            raise ValueError("write which are which: {negative: [1, 2], positive: [4, 5]}")
        return given

    @model_validator(mode="after")
    def _each_means_one_thing(self) -> "Labels":
        if bool(self.negative) != bool(self.positive):
            raise ValueError("give values for both negative and positive")
        values = (self.negative, self.positive, self.ignore)
        counts = Counter(name for each in values for name in {label_name(value) for value in each})
        if "" in map(label_name, (*self.negative, *self.positive)):
            raise ValueError("an empty value is not a label; only ignore may name it")
        if several := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"{several[0]} is given twice; a value means one thing")
        return self

    @property
    def are_given(self) -> bool:
        """Whether values for negative and positive are given, instead of the plain ones."""
        return bool(self.negative)

    def meanings(self) -> dict[str, int]:
        """Return the meaning of each name: ``NEGATIVE``, ``POSITIVE`` or ``IGNORE``."""
        given = ((self.negative, NEGATIVE), (self.positive, POSITIVE), (self.ignore, IGNORE))
        return {
            **WORDS,
            **({} if self.are_given else PLAIN),
            **{label_name(value): meaning for values, meaning in given for value in values},
        }


def in_lines(labels: Labels) -> Labels:
    """Return what labels mean in fastText lines: 1 and 2, if no others are given."""
    return (
        labels if labels.are_given else labels.model_copy(update=dict(negative=(1,), positive=(2,)))
    )


def count_label(name: str, found: Counter[str]) -> None:
    """Count a label's name, unless there are too many different ones already."""
    if name in found or len(found) < MOST_VALUES:
        found[name] += 1


def are_doubtful(found: Iterable[str], labels: Labels) -> bool:
    """Return whether other numbers are among labels read as 0 and 1.

    Then 1 may mean something else: one star of five, or the negative one of 1 and 2.
    """
    known = labels.meanings()
    return not labels.are_given and any(NUMBER.fullmatch(n) and n not in known for n in found)


def describe_labels(found: Mapping[str, int], labels: Labels, section: str) -> str:
    """Say which labels were found and how to say what they mean.

    ``found`` counts the labels' names, ``section`` is the prefix of the setting.
    """
    ordered = sorted(found, key=lambda n: (0, float(n), n) if NUMBER.fullmatch(n) else (1, 0, n))
    shown = ", ".join(f"{name!r} ({found[name]:,})" for name in ordered[:MOST_SHOWN])
    more = f" and {len(found) - MOST_SHOWN:,} others" * (len(found) > MOST_SHOWN)
    return f"Labels found: {shown}{more}. {_advice(ordered, found, labels, section)}"


def _advice(ordered: list[str], found: Mapping[str, int], labels: Labels, section: str) -> str:
    if len(ordered) > MOST_SHOWN:
        return "If that is not the label column, name it with --label-column."
    names = [name for name in ordered if name not in NULLS]
    groups = _stray(names, found, labels) or _numbers(names) or _words(names)
    if groups is not None:
        groups[-1][1].extend(name for name in ordered if name in NULLS)  # to be ignored
    if groups is None:
        text = f"{section}labels={{negative: [...], positive: [...], ignore: [...]}}"
        return f"Say what they mean, with each in its place: --set {shlex.quote(text)}"
    text = ", ".join(f"{key}: [{', '.join(map(_yaml, group))}]" for key, group in groups if group)
    return f"Say what they mean: --set {shlex.quote(f'{section}labels={{{text}}}')}"


Groups = list[tuple[str, list[str]]]


def _stray(names: list[str], found: Mapping[str, int], labels: Labels) -> Groups | None:
    """Propose to ignore a few labels among many that are known."""
    known = labels.meanings()
    unknown = [name for name in names if name not in known]
    classes = {known[name] for name in names if name in known}
    if not {NEGATIVE, POSITIVE} <= classes or sum(found[name] for name in unknown) > 0.01 * sum(
        found.values()
    ):
        return None
    by_meaning = {
        meaning: [name for name in names if known.get(name) == meaning]
        for meaning in (NEGATIVE, POSITIVE, IGNORE)
    }
    return [
        ("negative", by_meaning[NEGATIVE]),
        ("positive", by_meaning[POSITIVE]),
        ("ignore", by_meaning[IGNORE] + unknown),
    ]


def _numbers(names: list[str]) -> Groups | None:
    """Propose the lower numbers for negative, the higher for positive, the middle to be ignored."""
    numbers = {name: _number(name) for name in names}
    values = [number for number in numbers.values() if number is not None]
    if len(values) < 2 or len(values) < len(names):
        return None
    low, high = min(values), max(values)
    if (len(names) > 2 or low > 1) and low >= 1 and 4 <= high <= 5:  # stars
        low, high = 1, 5
        if all(NUMBER.fullmatch(name) for name in names):  # those that were not met, too
            numbers |= {str(star): star for star in range(1, 6) if star not in values}
    middle, near = (low + high) / 2, (high - low) / 10
    ordered = sorted((number, name) for name, number in numbers.items() if number is not None)
    return [
        ("negative", [name for number, name in ordered if number < middle - near]),
        ("positive", [name for number, name in ordered if number > middle + near]),
        ("ignore", [name for number, name in ordered if abs(number - middle) <= near]),
    ]


def _number(name: str) -> float | None:
    """Return the number that a label is, or its stars; None if it is neither."""
    stars = STARS.fullmatch(name)
    if stars or NUMBER.fullmatch(name):
        return float(stars[1] if stars else name)
    return None


def _words(names: list[str]) -> Groups | None:
    """Propose what words mean that begin as the known ones do; None if others are there."""
    groups: dict[str, list[str]] = {"negative": [], "positive": [], "ignore": []}
    begins = {"negative": ("neg", "bad"), "positive": ("pos", "good"), "ignore": ("neu", "mixed")}
    for name in names:
        for key, starts in begins.items():
            if name.startswith(starts):
                groups[key].append(name)
                break
        else:
            return None
    return list(groups.items()) if groups["negative"] and groups["positive"] else None


def _yaml(name: str) -> str:
    plain = NUMBER.fullmatch(name) or re.fullmatch(r"(neg|pos|neu|bad|good)[a-z]*", name)
    return name if plain else json.dumps(name, ensure_ascii=False)

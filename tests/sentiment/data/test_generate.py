"""Generated reviews: reproducible, well formed, and undecidable without the order of words."""

import bz2
import math
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.data import generate, grammar
from sentiment.data.generate import generate_reviews, write_sample

Reviews = list[tuple[int, str]]


@pytest.fixture(scope="module")
def reviews() -> Reviews:
    return list(generate_reviews(12_000, seed=11, split="train"))


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:'[a-z]+)?", text.lower())


def write(directory: Path, train: int = 300, test: int = 100, seed: int = 1) -> tuple[bytes, bytes]:
    train_file, test_file = write_sample(directory, train=train, test=test, seed=seed)
    return train_file.read_bytes(), test_file.read_bytes()


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first = write(tmp_path / "first")
    assert write(tmp_path / "again") == first
    other = write(tmp_path / "other", seed=2)
    assert other[0] != first[0]
    assert other[1] != first[1]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_reviews_do_not_depend_on_the_process(hash_seed: str) -> None:
    code = (
        "import sys; from sentiment.data.generate import generate_reviews as g;"
        "sys.stdout.buffer.write(repr(list(g(50, seed=1, split='train'))).encode())"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(generate.__file__).parents[1],
        capture_output=True,
        check=True,
    )
    here = list(generate_reviews(50, seed=1, split="train"))
    assert elsewhere.stdout.decode() == repr(here)


def test_the_test_file_does_not_depend_on_the_number_of_training_reviews(tmp_path: Path) -> None:
    few, many = write(tmp_path / "few", train=10), write(tmp_path / "many", train=500)
    assert few[0] != many[0]
    assert few[1] == many[1]


def test_the_splits_share_no_review() -> None:
    train, test = (set(generate_reviews(2_000, seed=3, split=s)) for s in ("train", "test"))
    assert not train & test


@given(st.integers(0, 60), st.integers(0, 60), st.integers())
def test_fewer_reviews_are_the_beginning_of_more(one: int, two: int, seed: int) -> None:
    few, many = (
        list(generate_reviews(count, seed=seed, split="test")) for count in sorted((one, two))
    )
    assert many[: len(few)] == few
    assert len(many) == max(one, two)


def test_every_line_is_in_the_kaggle_format(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    train, test = write_sample(folder, train=5_000, test=70, seed=4)
    assert (train, test) == (folder / "train.ft.txt.bz2", folder / "test.ft.txt.bz2")
    assert sorted(folder.iterdir()) == [test, train]
    for path, rows, split in ((train, 5_000, "train"), (test, 70, "test")):
        text = bz2.decompress(path.read_bytes()).decode("utf-8")
        assert text.endswith("\n")
        lines = text[:-1].split("\n")
        parsed = [re.fullmatch(r"__label__([12]) (\S[^\t\r\n:]*: \S[^\t\r\n]*)", x) for x in lines]
        read = [(int(line[1]) - 1, line[2]) for line in parsed if line]
        assert read == list(generate_reviews(rows, seed=4, split=split))


def test_no_mark_of_the_grammar_is_left_in_a_review(reviews: Reviews) -> None:
    for _, text in reviews:
        assert text.isprintable()
        assert not re.search(r"[{}|^]|\d\*|  | [.,!]", text), text


def test_every_rule_of_the_grammar_is_defined_and_used() -> None:
    for kind in grammar.KINDS:
        rules = grammar.NEUTRAL | grammar.OPINION | kind
        texts = [*rules.values(), *(text for pair in grammar.POLAR.values() for text in pair)]
        used = {name for text in texts for name in re.findall(r"\{\^?-?(\w+)\}", text)}
        assert used | {"review"} == rules.keys() | grammar.POLAR.keys() | {"brand"}
        assert not rules.keys() & grammar.POLAR.keys()


def test_the_labels_are_balanced(reviews: Reviews) -> None:
    assert sum(label for label, _ in reviews) / len(reviews) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("Good", 1),
        ("Terrible", 0),
        ("Not good at all", 0),
        ("Not bad at all", 1),
        ("Could not be better", 1),
        ("Could be better", 0),
        ("Never disappointed", 1),
        ("Nothing bad to say", 1),
        ("Nothing good to say", 0),
        ("Don't buy it", 0),
        ("I want my money back", 0),
        ("A waste of money", 0),
    ],
)
def test_a_title_means_what_it_says(reviews: Reviews, title: str, label: int) -> None:
    labels = {found for found, text in reviews if text.startswith(f"{title}: ")}
    assert labels == {label}


def test_a_bag_of_words_does_not_suffice() -> None:
    """Naive Bayes over single words reaches about 0.7; a small LSTM learns more than 0.95."""
    sample = list(generate_reviews(4_000, seed=5, split="train"))
    train, test = sample[:3_000], sample[3_000:]
    counts = (Counter[str](), Counter[str]())
    for label, text in train:
        counts[label].update(words(text))
    known = counts[0].keys() | counts[1].keys()
    bad, good = (math.log(count.total() + len(known)) for count in counts)
    weight = {
        word: math.log(counts[1][word] + 1) - good - math.log(counts[0][word] + 1) + bad
        for word in known
    }
    guesses = [sum(weight.get(word, 0) for word in words(text)) > 0 for _, text in test]
    accuracy = sum(guess == label for guess, (label, _) in zip(guesses, test, strict=True))
    assert 0.6 < accuracy / len(test) < 0.8


def test_the_vocabulary_keeps_growing(reviews: Reviews) -> None:
    known: set[str] = set()
    sizes = [0]
    for start in range(0, len(reviews), 3_000):
        known.update(*(words(text) for _, text in reviews[start : start + 3_000]))
        sizes.append(len(known))
    assert all(new - old > 1_000 for old, new in pairwise(sizes))


def test_the_lengths_are_those_of_reviews(reviews: Reviews) -> None:
    lengths = sorted(len(re.findall(r"\w+|[^\w\s]+", text)) for _, text in reviews)
    assert 35 < sum(lengths) / len(lengths) < 60
    assert lengths[len(lengths) // 20] < 20
    assert 200 < lengths[-1] < 400


@pytest.mark.parametrize(
    "pattern",
    [
        r"http://\S",
        r"(?<!/)\bwww\.\S",
        r"(?<![\w./])\w+\.example\.com",
        r"[$£]\d|\d €",
        r"\d{3}",
        r" (:\)|:-\(|<3)",
        r"[\U0001F600-\U0001F64F\U0001F44D]",
        r"café|naïve|résumé",
        r"“\w+”",
        r"^[A-Z' ]+: ",
        r"\b(wodnerful|wondrful|wonnderful|dispapointed|disapointed|disappoointed|pruchase|prchase)",
    ],
)
def test_the_untidiness_of_real_text_occurs(reviews: Reviews, pattern: str) -> None:
    assert any(re.search(pattern, text) for _, text in reviews)


@pytest.mark.parametrize(("train", "test"), [(-1, 5), (5, -1)])
def test_a_negative_number_is_refused_before_anything_is_written(
    tmp_path: Path, train: int, test: int
) -> None:
    with pytest.raises(ValueError, match="negative: -1"):
        write_sample(tmp_path / "new", train=train, test=test, seed=1)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="negative: -1"):
        generate_reviews(-1, seed=1, split="train")


def test_no_reviews_make_two_empty_archives(tmp_path: Path) -> None:
    assert [bz2.decompress(data) for data in write(tmp_path, train=0, test=0)] == [b"", b""]


def test_progress_counts_the_reviews_of_both_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None = None, **_: float) -> None:
        seen.append((done, total))

    write_sample(tmp_path, train=generate.CHUNK + 1, test=7, seed=1, progress=progress)
    total = generate.CHUNK + 8
    assert seen == [(generate.CHUNK, total), (generate.CHUNK + 1, total), (total, total)]


@pytest.mark.parametrize("after", [1, 6_000])
def test_an_interruption_leaves_what_was_there(tmp_path: Path, after: int) -> None:
    before = write(tmp_path)

    def interrupt(done: int, total: int | None = None, **_: float) -> None:
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path, train=5_000, test=2_000, seed=9, progress=interrupt)
    assert write(tmp_path / "fresh") == before
    names = ["fresh", "test.ft.txt.bz2", "train.ft.txt.bz2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    left = tuple((tmp_path / f"{split}.ft.txt.bz2").read_bytes() for split in ("train", "test"))
    assert left == before


def test_a_full_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: bz2.BZ2File, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bz2.BZ2File, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_sample(tmp_path, train=40_000, test=10, seed=1)
    assert list(tmp_path.iterdir()) == []

"""Which words have which id, against a plain Counter."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.errors import DataError
from sentiment.text import vocabulary as module
from sentiment.text.vocabulary import (
    PAD,
    SPECIAL,
    UNKNOWN,
    VOCABULARY,
    Vocabulary,
    VocabularyConfig,
    build_vocabulary,
    merge_counts,
)
from tests.support.reviews import made_up_reviews, rows_of, write_counts

Words = list[str]


def plain_vocabulary(tokens: Words, min_count: int = 2, max_size: int | None = None) -> Words:
    """Words by falling count, ties in the order of their first occurrence."""
    counts = Counter(tokens)  # most_common keeps equal counts in the order of first occurrence
    kept = [
        word for word, count in counts.most_common() if count >= min_count and word not in SPECIAL
    ]
    return [*SPECIAL, *kept][:max_size]


def build(folder: Path, *shards: Words | str, **options: Any) -> tuple[dict[str, Any], Path]:
    """Build a vocabulary from shards of tokens; return the stats and the file."""
    paths = []
    for number, tokens in enumerate(shards):
        words = tokens.split() if isinstance(tokens, str) else tokens
        paths.append(write_counts(folder / f"{number}.parquet", words))
    stats = build_vocabulary(paths, vocabulary=VocabularyConfig(**options), out=folder)
    return stats, folder / "vocabulary.parquet"


def words_in(path: Path) -> Words:
    return [word for word, _ in rows_of(path)]


TOKENS = " ".join(text for _, text in made_up_reviews(60, seed=4)).split()


@pytest.mark.parametrize("min_count", [1, 2, 5])
@pytest.mark.parametrize("max_size", [None, 3, 10, 10_000])
def test_words_are_ordered_as_a_plain_counter_orders_them(
    tmp_path: Path, min_count: int, max_size: int | None
) -> None:
    stats, path = build(tmp_path, TOKENS, min_count=min_count, max_size=max_size)
    expected = plain_vocabulary(TOKENS, min_count, max_size)
    assert words_in(path) == expected
    known = sum(word in expected for word in TOKENS)
    assert stats == {
        "size": len(expected),
        "words_seen": len(set(TOKENS)),
        "known_share": known / len(TOKENS),
    }


def test_counts_stand_beside_the_words(tmp_path: Path) -> None:
    _, path = build(tmp_path, "b a b c a b d")
    assert rows_of(path) == [("_PAD", 0), ("_UNK", 2), ("b", 3), ("a", 2)]
    assert pq.read_schema(path).equals(VOCABULARY)


def test_ties_are_first_seen_first_over_the_shards_in_order(tmp_path: Path) -> None:
    # The shards' own places of first occurrence say otherwise: z is first in the second shard.
    _, path = build(tmp_path, "x x y", "z z y")
    assert words_in(path) == [*SPECIAL, "x", "y", "z"]


def test_the_order_of_the_shards_decides_ties(tmp_path: Path) -> None:
    _, path = build(tmp_path, "z z y", "x x y")
    assert words_in(path) == [*SPECIAL, "z", "y", "x"]


@settings(max_examples=50)
@given(
    tokens=st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    min_count=st.integers(1, 3),
)
def test_any_cut_into_shards_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, tokens: Words, cuts: list[int], min_count: int
) -> None:
    tokens = [*tokens, "z", "z", "z"]  # so that the vocabulary is never empty
    ends = [0, *sorted(min(cut, len(tokens)) for cut in cuts), len(tokens)]
    shards = [tokens[start:end] for start, end in pairwise(ends)]
    whole_stats, whole = build(tmp_path_factory.mktemp("whole"), tokens, min_count=min_count)
    stats, path = build(tmp_path_factory.mktemp("cut"), *shards, min_count=min_count)
    assert path.read_bytes() == whole.read_bytes()
    assert stats == whole_stats
    assert words_in(path) == plain_vocabulary(tokens, min_count)


def test_shards_without_a_token_change_nothing(tmp_path: Path) -> None:
    _, path = build(tmp_path, [], "b a", [], "b a", [])
    assert words_in(path) == [*SPECIAL, "b", "a"]


def test_merged_counts_keep_the_first_place_over_all_shards(tmp_path: Path) -> None:
    shards = {"first": ["b", "a", "b"], "second": ["c", "a"]}
    tables = [pq.read_table(write_counts(tmp_path / name, x)) for name, x in shards.items()]
    merged = merge_counts(tables).to_pydict()
    assert merged == {"word": ["b", "a", "c"], "count": [2, 2, 1], "first_seen": [0, 1, 3]}


def test_reviews_that_hold_the_special_words_do_not_reach_their_ids(tmp_path: Path) -> None:
    tokens = "_PAD _PAD _UNK _UNK _UNK good good"
    stats, path = build(tmp_path, tokens)
    assert rows_of(path) == [("_PAD", 0), ("_UNK", 5), ("good", 2)]
    assert stats["known_share"] == 2 / 7
    assert Vocabulary.load(path).encode(["_PAD", "_UNK", "good"]).tolist() == [UNKNOWN, UNKNOWN, 2]


@given(st.lists(st.sampled_from(["the", "lamp", "é", "_PAD", "_UNK", "", "nowhere", "\N{FIRE}"])))
def test_ids_are_those_of_a_plain_dict(words: Words) -> None:
    known = [*SPECIAL, "the", "lamp", "é", "\N{FIRE}", "x"]
    ids = {word: number for number, word in enumerate(known) if word not in SPECIAL}
    vocabulary = Vocabulary(pa.array(known))
    encoded = vocabulary.encode(words)
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [ids.get(word, UNKNOWN) for word in words]
    coded = pa.array(words, pa.string()).dictionary_encode()
    assert vocabulary.encode(coded).tolist() == encoded.tolist()


KNOWN = [*SPECIAL, *(f"word{n}" for n in range(40)), "é", "\N{FIRE}", ""]
asked = st.sampled_from([*KNOWN, "nowhere", "word", "WORD1"])


@pytest.mark.parametrize("few", [-1, 1_000], ids=["hashed", "by dict"])
@given(words=st.lists(asked, max_size=60), spare=st.lists(asked, max_size=10))
def test_ids_of_any_array_are_those_of_a_plain_dict(few: int, words: Words, spare: Words) -> None:
    """Fewer words than half of the known ones, or more; each form of the same words."""
    ids = {word: number for number, word in enumerate(KNOWN) if word not in SPECIAL}
    expected = [ids.get(word, UNKNOWN) for word in words]
    plain = pa.array(words, pa.string())
    # Arrow allows a dictionary with words that are repeated, or that nothing refers to.
    repeating = pa.DictionaryArray.from_arrays(
        pa.array(range(len(spare), len(spare) + len(words)), pa.int32()),
        pa.array([*spare, *words], pa.string()),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", few)
        vocabulary = Vocabulary(pa.array(KNOWN))
        for given_as in (
            words,
            plain,
            pa.concat_arrays([pa.array(["before"]), plain])[1:],
            pa.chunked_array([plain[:7], plain[7:]], pa.string()),
            plain.dictionary_encode(),
            repeating,
        ):
            encoded = vocabulary.encode(given_as)
            assert encoded.dtype == np.int32
            assert encoded.tolist() == expected


@pytest.mark.parametrize("count", [5_000, 25_000])
def test_many_words_are_looked_up_without_a_dict_of_the_vocabulary(count: int) -> None:
    """The dict of millions of words would take gigabytes, again for each shard."""
    known = [*SPECIAL, *map(str, range(20_000))]
    vocabulary = Vocabulary(pa.array(known))
    asked = list(map(str, range(19_000, 19_000 + count)))
    assert vocabulary.encode(asked).tolist() == [
        int(word) + len(SPECIAL) if int(word) < 20_000 else UNKNOWN for word in asked
    ]
    assert "_numbers" not in vars(vocabulary)
    assert vocabulary.encode(asked[:3]).tolist() == [19_002, 19_003, 19_004]
    assert "_numbers" in vars(vocabulary)  # for single texts


def test_every_word_of_the_file_has_its_row_as_id(tmp_path: Path) -> None:
    _, path = build(tmp_path, TOKENS)
    vocabulary = Vocabulary.load(path)
    words = words_in(path)
    assert len(vocabulary) == len(words)
    assert [vocabulary.word(number) for number in range(len(words))] == words
    assert vocabulary.encode(words[2:]).tolist() == list(range(2, len(words)))
    assert (vocabulary.word(PAD), vocabulary.word(UNKNOWN)) == SPECIAL


def test_no_word_frequent_enough_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No word occurs 3 times"):
        build(tmp_path, "a a b", min_count=3)


def test_no_shard_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no word counts"):
        build(tmp_path)


@pytest.mark.parametrize("words", [[], ["_PAD"], ["_UNK", "_PAD", "a"], ["a", "b"]])
def test_a_vocabulary_without_the_special_words_is_refused(words: Words) -> None:
    with pytest.raises(DataError, match="must start with _PAD and _UNK"):
        Vocabulary(pa.array(words, pa.string()))


def test_the_same_counts_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        files.append(build(tmp_path / name, TOKENS[:50], TOKENS[50:])[1])
    assert files[0].read_bytes() == files[1].read_bytes()

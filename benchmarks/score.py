"""How fast a model scores reviews, in files and one text at a time, against simpler ones.

    python benchmarks/score.py --model storage/models/latest --train train.ft.txt.bz2 \\
        --data test.ft.txt.bz2

The reviews should be new to the model: its n-grams are surer of those that it was trained on, which
flatters ``--fast``. TF-IDF with logistic regression (scikit-learn) and fastText (if installed) are
trained on ``--train``, which should be the model's training reviews.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.command import execute
from benchmarks.support.machine import (
    describe_machine,
    in_fresh_process,
    machine_lines,
    peak_memory,
)
from sentiment.classifier import Classifier
from sentiment.scoring.inputs import ScoreConfig, open_input
from sentiment.scoring.score_files import score_files

WARM_UP = 200  # texts before the clock starts


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show, width=100)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Score the reviews in all ways; return the results as a JSON object."""
    texts, labels = read(options.data, options.rows)
    train = read(options.train, None)
    machine = describe_machine()
    ways = {}
    for name, fast in (("sentiment", False), ("sentiment --fast", True)):
        way = in_fresh_process(ours, options.model, texts, labels, options.singles, fast)
        ways[name] = {**way, "changed": 0.0}
    ways["sentiment --fast"]["changed"] = changed(*(way.pop("positive") for way in ways.values()))
    ways["TF-IDF + regression"] = in_fresh_process(tfidf, train, texts, labels, options.singles)
    with suppress(ImportError):
        ways["fastText"] = in_fresh_process(fasttext, train, texts, labels, options.singles)
    return {"benchmark": "score", "machine": machine, "reviews": len(texts), "ways": ways}


def changed(before: list[bool], after: list[bool]) -> float:
    """Return the share of the answers that differ."""
    return float(np.mean(np.array(before) != np.array(after)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="model bundle")
    parser.add_argument("--data", type=Path, required=True, help="fastText file of reviews")
    parser.add_argument(
        "--train", type=Path, required=True, help="fastText file to train the simpler models on"
    )
    parser.add_argument("--rows", type=int, default=50_000, help="reviews scored as a file")
    parser.add_argument("--singles", type=int, default=1_000, help="reviews scored one at a time")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def read(path: Path, rows: int | None) -> tuple[list[str], list[int]]:
    """Return the first labelled reviews of a file, each text on one line."""
    pairs = [
        (" ".join(entry.text.split()), entry.label)
        for entry in islice(open_input(path, ScoreConfig()).entries, rows)
        if entry.text is not None and entry.label in (0, 1)
    ]
    return [text for text, _ in pairs], [label for _, label in pairs]


def ours(
    model: Path, texts: list[str], labels: list[int], singles: int, fast: bool
) -> dict[str, Any]:
    """Measure ``score_files`` on all texts, then ``probabilities`` on one at a time."""
    classifier = Classifier.load(model, fast=fast)
    classifier.probabilities(["Loads what the first text needs, such as NLTK."])
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / "reviews.ft.txt", Path(folder) / "out"
        path.write_text(as_lines(texts, labels), encoding="utf-8")
        summary = score_files([path], out, model=model, config=ScoreConfig(fast=fast))
        answers = pq.read_table(out / path.name, columns=["label"])["label"].to_pylist()
    return {
        "rows_per_second": summary["rows_per_second"],
        "accuracy": summary["metrics"]["accuracy"],
        "exited": summary["exited"] / summary["scored"],
        "positive": [answer == "positive" for answer in answers],
        **latency(lambda text: classifier.probabilities([text]), texts, singles),
        "peak_mib": peak_memory() >> 20,
    }


def tfidf(
    train: tuple[list[str], list[int]], texts: list[str], labels: list[int], singles: int
) -> dict[str, float]:
    """Measure TF-IDF of words and bigrams with logistic regression, from file to file."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(vectorizer, LogisticRegression(C=10.0)).fit(*train)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "reviews.txt"
        path.write_text("\n".join(texts), encoding="utf-8")
        begin = time.perf_counter()
        with path.open(encoding="utf-8") as lines:
            probabilities = model.predict_proba(lines)[:, 1]
        pq.write_table(pa.table({"probability": probabilities}), Path(folder) / "scores.parquet")
        seconds = time.perf_counter() - begin
    return {
        "rows_per_second": len(texts) / seconds,
        "accuracy": float(np.mean((probabilities >= 0.5) == np.array(labels))),
        **latency(lambda text: model.predict_proba([text]), texts, singles),
        "peak_mib": peak_memory() >> 20,
    }


def as_lines(texts: list[str], labels: list[int]) -> str:
    """Return the content of a fastText file."""
    return "".join(f"__label__{y + 1} {text}\n" for text, y in zip(texts, labels, strict=True))


def fasttext(
    train: tuple[list[str], list[int]], texts: list[str], labels: list[int], singles: int
) -> dict[str, float]:
    """Measure fastText's ``predict`` on the same texts. Raises ImportError if not installed."""
    from fasttext import train_supervised  # type: ignore[import,unused-ignore]

    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        path.write_text(as_lines(*train), encoding="utf-8")
        model = train_supervised(str(path), wordNgrams=2, verbose=0)
    begin = time.perf_counter()
    answers = [model.f.predict(f"{text}\n", 1, 0.0, "strict")[0][1] for text in texts]
    seconds = time.perf_counter() - begin
    return {
        "rows_per_second": round(len(texts) / seconds),
        "accuracy": float(
            np.mean([a == f"__label__{y + 1}" for a, y in zip(answers, labels, strict=True)])
        ),
        **latency(lambda text: model.f.predict(f"{text}\n", 1, 0.0, "strict"), texts, singles),
        "peak_mib": peak_memory() >> 20,
    }


def latency(predict: Callable[[str], Any], texts: list[str], singles: int) -> dict[str, float]:
    """Return the median and the 95th percentile of single predictions, in milliseconds."""
    times = []
    for number, text in enumerate(islice(texts, WARM_UP + singles)):
        begin = time.perf_counter()
        predict(text)
        if number >= min(WARM_UP, len(texts) // 2):
            times.append(time.perf_counter() - begin)
    p50, p95 = np.percentile(times, (50, 95)) * 1000
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    console.print("\n".join(machine_lines(result["machine"])))
    table = Table(title=f"{result['reviews']:,} reviews", box=box.ROUNDED)
    columns = ("", "reviews/s", "accuracy", "changed", "p50, ms", "p95, ms", "peak, MiB")
    for name in columns:
        table.add_column(name, justify="right" if name else "left")
    for name, way in result["ways"].items():
        table.add_row(
            name,
            f"{way['rows_per_second']:,.0f}",
            f"{way['accuracy']:.4f}" if "accuracy" in way else "",
            f"{way['changed']:.3%}" if "changed" in way else "",
            f"{way['p50_ms']:.2f}",
            f"{way['p95_ms']:.2f}",
            f"{way['peak_mib']:,}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())

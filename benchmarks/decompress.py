"""Reading bz2 files: by one decoder of the standard library, by several, and by other libraries.

    python benchmarks/decompress.py --data DIR

The others are rapidgzip and indexed_bzip2, if installed (with pip; the project does not use them).
All ways must give the same bytes. What counts is ingest as a whole, which is timed too.
"""

import argparse
import bz2
import hashlib
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.preprocess import reviews_of
from benchmarks.support.command import execute
from benchmarks.support.compare import Disagreement
from benchmarks.support.machine import describe_machine, machine_lines
from sentiment.data import archives
from sentiment.data.archives import read_blocks
from sentiment.data.ingest import IngestConfig, ingest_file
from sentiment.files import digest_file
from sentiment.progress import OnRead
from tasks.manifest import digest_json

STANDARD = "stdlib"
CANDIDATES = ("rapidgzip", "indexed_bzip2")  # measured if installed
STREAM = 900_000  # bytes of text in each of many streams, as pbzip2 writes them
Reader = Callable[..., Iterator[bytes]]


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder or file of reviews; default: generated")
    parser.add_argument("--reviews", type=int, default=200_000, help="most reviews to read")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    options = parser.parse_args(arguments)
    if min(options.reviews, options.repeats) < 1:
        parser.error("--reviews and --repeats must be at least 1")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time all ways on both kinds of file; return the results as a JSON object."""
    machine = describe_machine()
    reviews = islice(reviews_of(options.data, options.reviews), options.reviews)
    lines = [f"__label__{label + 1} {text}\n".encode() for label, text in reviews]
    text = b"".join(lines)
    streams = [text[start : start + STREAM] for start in range(0, len(text), STREAM)]
    files = {"one stream": [text], "many streams": streams}
    with TemporaryDirectory(prefix="sentiment-benchmark-") as name:
        rows = []
        for kind, parts in files.items():
            source = Path(name) / f"{kind.split()[0]}.ft.txt.bz2"
            source.write_bytes(b"".join(map(bz2.compress, parts)))
            rows += compare_ways(kind, source, Path(name), options.repeats)
    return {
        "benchmark": "decompress",
        "machine": machine,
        "data": {
            "source": options.data.name if options.data else "generated reviews",
            "reviews": len(lines),
            "bytes": len(text),
        },
        "repeats": options.repeats,
        "rows": rows,
    }


def ways() -> dict[str, Reader]:
    """Return the ways to read a bz2 file as blocks of bytes."""
    found: dict[str, Reader] = {STANDARD: on_one_thread, "side by side": read_blocks}
    for name in CANDIDATES:
        if importlib.util.find_spec(name):
            for threads in (1, 2):
                found[f"{name}, {threads} thread{'s'[: threads - 1]}"] = reader(name, threads)
    return found


def on_one_thread(path: Path, *rest: OnRead) -> Iterator[bytes]:
    with patch.object(archives, "MOST_THREADS", 1):
        yield from read_blocks(path, *rest)


def reader(module: str, threads: int) -> Reader:
    def read(path: Path, *_: object) -> Iterator[bytes]:
        opened = importlib.import_module(module).IndexedBzip2File
        with opened(os.fspath(path), parallelization=threads) as file:
            yield from iter(lambda: file.read(archives.BLOCK_BYTES), b"")

    return read


def compare_ways(kind: str, source: Path, folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Read and ingest a file in all ways, alternating; return medians of wall-clock seconds."""
    reading: dict[str, list[float]] = {}
    ingesting: dict[str, list[float]] = {}
    digests: set[tuple[str, str]] = set()
    for _ in range(repeats):
        for way, read in ways().items():
            seconds, content = timed(content_digest, read, source)
            reading.setdefault(way, []).append(seconds)
            with TemporaryDirectory(dir=folder) as out, patch.object(archives, "read_blocks", read):
                seconds, shards = timed(ingest_digest, source, Path(out))
            ingesting.setdefault(way, []).append(seconds)
            digests.add((content, shards))
    if len(digests) > 1:
        raise Disagreement(f"The ways to read {source.name} gave {len(digests)} different results.")
    read_by = {way: median(seconds) for way, seconds in reading.items()}
    ingest_by = {way: median(seconds) for way, seconds in ingesting.items()}
    return [
        {
            "file": kind,
            "way": way,
            "read_seconds": read_by[way],
            "ingest_seconds": ingest_by[way],
            "read_share": read_by[way] / ingest_by[way],
            "read_ratio": read_by[STANDARD] / read_by[way],
            "ingest_ratio": ingest_by[STANDARD] / ingest_by[way],
        }
        for way in read_by
    ]


def timed(work: Callable[..., str], *arguments: Any) -> tuple[float, str]:
    started = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - started, result


def content_digest(read: Reader, source: Path) -> str:
    digest = hashlib.blake2b()
    for block in read(source):
        digest.update(block)
    return digest.hexdigest()


def ingest_digest(source: Path, out: Path) -> str:
    ingest_file(source, split="train", limit=None, ingest=IngestConfig(), out=out)
    return digest_json([digest_file(path) for path in sorted(out.iterdir())])


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    data = result["data"]
    console.print(
        f"{data['reviews']:,} reviews ({data['bytes'] / 1e6:,.1f} MB of text) from: "
        f"{data['source']}. Medians of {result['repeats']}, alternating; equal bytes and shards.\n"
    )
    table = Table(box=box.SIMPLE)
    for name in ("File", "Way"):
        table.add_column(name, no_wrap=True)
    for name in ("read, s", "ratio", "ingest, s", "ratio", "share"):
        table.add_column(name, justify="right")
    for row in result["rows"]:
        table.add_row(
            row["file"],
            row["way"],
            f"{row['read_seconds']:.2f}",
            f"{row['read_ratio']:.2f}",
            f"{row['ingest_seconds']:.2f}",
            f"{row['ingest_ratio']:.2f}",
            f"{row['read_share']:.0%}",
        )
    console.print(table)
    console.print("The share is reading's part of ingest.")


if __name__ == "__main__":
    sys.exit(main())

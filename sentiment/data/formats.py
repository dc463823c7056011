"""Which files are read: by the endings of their names, and by their first bytes."""

import codecs
import re
from pathlib import Path
from typing import Literal

from sentiment.errors import DataError

TableFormat = Literal["csv", "tsv", "json", "parquet"]
TABLES: dict[str, TableFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
}
PACKED = (".bz2", ".gz", ".xz", ".zst", ".zip")
KINDS = ".txt, .csv, .tsv, .jsonl or .parquet, also as .bz2, .gz, .xz, .zst or .zip"

CONVERT = "Write the reviews as .csv, .jsonl or .parquet."
EXTRACT = "Extract it, and name a file or a folder of them."
OTHERS = {  # what is not read: endings, first bytes, what it is, what to do
    "a spreadsheet": (
        (".xlsx", ".xlsm", ".xls", ".ods"),
        rb"\xd0\xcf\x11\xe0",
        "Save it as CSV (UTF-8).",
    ),
    "a document": ((".pdf", ".doc", ".docx", ".odt"), rb"%PDF-", CONVERT),
    "an archive of several files": (
        (".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"),
        rb"7z\xbc\xaf|Rar!\x1a|(?s:.{257})ustar[\0 ]",
        EXTRACT,
    ),
    "an image": (
        (".png", ".jpg", ".jpeg", ".gif", ".webp"),
        rb"\x89PNG|\xff\xd8\xff|GIF8[79]a",
        CONVERT,
    ),
    "a pickle, which can run code when it is opened": (
        (".pkl", ".pickle"),
        rb"\x80[\x02-\x05](?:[\x95\]}(]|c)",
        CONVERT,
    ),
    "a binary table": (
        (".feather", ".arrow", ".orc", ".avro", ".db", ".sqlite", ".npy", ".npz", ".h5", ".hdf5"),
        rb"ARROW1\0|Obj\x01|SQLite format 3\0|\x93NUMPY|\x89HDF",
        CONVERT,
    ),
    "a Parquet file": ((), rb"PAR1[\x00-\x1f]", "Give its name the ending .parquet."),
    "compressed with gzip": (
        (),
        rb"\x1f\x8b\x08",
        "Give its name the ending .gz, or decompress it.",
    ),
    "compressed with bzip2": (
        (),
        rb"BZh[1-9]1AY&SY",
        "Give its name the ending .bz2, or decompress it.",
    ),
    "compressed with xz": ((), rb"\xfd7zXZ\0", "Give its name the ending .xz, or decompress it."),
    "compressed with zstd": (
        (),
        rb"\x28\xb5\x2f\xfd",
        "Give its name the ending .zst, or decompress it.",
    ),
    "a zip file": (
        (),
        rb"PK\x03\x04",
        "Give its name the ending .zip if there is one table in it; save a spreadsheet as CSV.",
    ),
}
# Bytes that texts have no use for: random bytes have one in ten of them.
CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\v\f\r\x1b")
MOST_CONTROL = 0.05


def unpacked_name(path: Path) -> str:
    """Return a file's name without the ending of its compression: ``a.csv`` of ``a.csv.gz``."""
    return path.stem if path.suffix.lower() in PACKED else path.name


def refuse_name(path: Path, name: str) -> None:
    """Raise DataError if the ending of ``name``, which is that of the content, is of no table."""
    suffix = Path(name).suffix.lower()
    for what, (suffixes, _, advice) in OTHERS.items():
        if suffix in suffixes:
            raise DataError(f"{path}: cannot be read: {what}. {advice}")


def refuse_content(path: Path, start: bytes, *, text: bool) -> None:
    """Raise DataError if a file's first bytes are of no text.

    ``text`` says that the bytes should be UTF-8; in other encodings, only known formats are
    recognized.
    """
    for what, (_, pattern, advice) in OTHERS.items():
        if re.match(pattern, start):
            raise DataError(f"{path}: cannot be read: its content is {what}. {advice}")
    if not text:
        return
    for order, name in ((start[1::2], "utf-16-le"), (start[::2], "utf-16-be")):
        if len(start) >= 16 and order.count(0) > 0.4 * len(order) > 2 * (
            start.count(0) - order.count(0)
        ):
            raise DataError(
                f"{path}: is UTF-16 without a byte order mark, it seems. If so, add "
                f"--encoding {name}."
            )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        if len(start) - len(start.translate(None, CONTROL)) > MOST_CONTROL * len(start):
            raise DataError(
                f"{path}: cannot be read: its content is binary, not text. {CONVERT}"
            ) from None

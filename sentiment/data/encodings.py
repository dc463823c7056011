"""Text in any encoding, as lines of UTF-8: the readers of lines and tables know no other."""

import codecs
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from sentiment.data.archives import read_blocks, split_lines, whole_lines
from sentiment.data.formats import refuse_content
from sentiment.errors import DataError
from sentiment.progress import OnRead, ignore_share

UTF8 = "utf-8"
MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, UTF8),
)
START = 4096  # bytes that say what a file is


def encoding_named(name: str) -> str:
    """Return the standard name of an encoding. Raises ValueError if there is none."""
    try:
        "a".encode(name)
        standard = codecs.lookup(name).name
        codecs.getincrementaldecoder(standard)
    except (LookupError, ValueError, UnicodeError):
        raise ValueError(
            f"{name!r} is not an encoding; use one such as utf-8, latin-1, cp1252 or utf-16"
        ) from None
    return UTF8 if standard == "utf-8-sig" else standard


def read_text(path: Path, encoding: str, on_read: OnRead = ignore_share) -> Iterator[bytes]:
    """Yield a file's lines as UTF-8, without line ends: see :func:`read_pieces`."""
    return split_lines(read_pieces(path, encoding, on_read))


def read_pieces(path: Path, encoding: str, on_read: OnRead = ignore_share) -> Iterator[bytes]:
    """Yield a file as UTF-8 in pieces of whole lines, without a byte order mark.

    The mark of UTF-16 or UTF-32 wins over the encoding ``utf-8``. Bytes that are invalid in the
    encoding stay, so that they are not valid UTF-8 either. Raises DataError if the file is not
    text.
    """
    return whole_lines(path, _as_utf8(path, encoding, read_blocks(path, on_read)))


def _as_utf8(path: Path, encoding: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    start = next(blocks, b"")
    mark, marked = next((each for each in MARKS if start.startswith(each[0])), (b"", UTF8))
    refuse_content(path, start[:START], text=encoding == marked == UTF8)
    if mark == codecs.BOM_UTF8 and encoding != UTF8:
        raise DataError(
            f"{path}: begins with the byte order mark of UTF-8, so it is not {encoding}. Leave out "
            "--encoding."
        )
    if encoding == marked == UTF8:
        yield start.removeprefix(mark)
        yield from blocks
    else:
        yield from _decoded(path, chain([start], blocks), encoding if encoding != UTF8 else marked)


def _decoded(path: Path, blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    done = 0
    for block, last in chain(((block, False) for block in blocks), [(b"", True)]):
        try:
            text = decoder.decode(block, last)
            if not done:
                text = text.removeprefix("\ufeff")
            yield text.encode(UTF8, "surrogateescape")
        except UnicodeError as error:
            raise DataError(
                f"{path}: not valid {encoding} near byte {done:,} ({error}). Name its encoding "
                "with --encoding."
            ) from error
        done += len(block)

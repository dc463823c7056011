"""Streams of lines from plain and compressed files, in bounded memory.

A truncated or corrupt archive is an error that names the byte, never a short data set; that is why
the decoders are driven here and not through ``bz2.open``, which ignores what follows a stream.
"""

import bz2
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from sentiment.errors import ArchiveError, DataError
from sentiment.progress import Seen, unseen

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

READ_BYTES = 1 << 16
BLOCK_BYTES = 1 << 20  # decompressed at a time, since a few bytes may stand for gigabytes
LONGEST_LINE = 1 << 26  # bytes: past this, a file is no list of reviews


class Decoder(Protocol):
    """One compressed stream's decoder, as in ``bz2`` and ``compression.zstd``."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class GzipDecoder:
    """``zlib``'s decoder, which here keeps the input that it has not used yet, as others do."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


DECODERS: dict[str, Callable[[], Decoder]] = {
    ".bz2": bz2.BZ2Decompressor,
    ".gz": GzipDecoder,
    ".zst": zstd.ZstdDecompressor,
}


def read_blocks(path: Path, seen: Seen = unseen) -> Iterator[bytes]:
    """Yield a file's content, decompressed according to its suffix (.bz2, .gz, .zst, else none).

    A block has at most ``BLOCK_BYTES``, however well the file is packed. Files of several streams
    one after the other are read whole. ``seen`` is told the share of the file's own bytes. Raises
    ArchiveError for data that is truncated, corrupt or of another format, DataError for a file that
    cannot be read.
    """
    try:
        with path.open("rb") as file:
            chunks = _chunks(file, seen)
            new_decoder = DECODERS.get(path.suffix.lower())
            yield from chunks if new_decoder is None else _decode(path, chunks, new_decoder)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _chunks(file: BinaryIO, seen: Seen) -> Iterator[bytes]:
    size, offset = os.fstat(file.fileno()).st_size, 0  # a pipe has size 0, a log may grow
    while chunk := file.read(READ_BYTES):
        offset += len(chunk)
        seen(offset / max(size, offset))
        yield chunk


def _decode(
    path: Path, chunks: Iterator[bytes], new_decoder: Callable[[], Decoder]
) -> Iterator[bytes]:
    kind = path.suffix.lower().lstrip(".")
    decoder: Decoder | None = None
    offset = 0
    for chunk in chunks:
        data = chunk
        while data:
            decoder = decoder or new_decoder()
            start = offset + len(chunk) - len(data)
            try:
                yield from _blocks(decoder, data)
            except (OSError, ValueError, zlib.error, zstd.ZstdError) as error:
                raise ArchiveError(
                    f"{path}: not valid {kind} data near byte {start:,} ({error}). "
                    "Fetch the file again, or name it after its real format."
                ) from error
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
        offset += len(chunk)
    if decoder is not None or offset == 0:
        raise ArchiveError(
            f"{path}: truncated: its {kind} data ends inside a stream, at byte {offset:,}. "
            "Fetch the file again."
        )


def _blocks(decoder: Decoder, data: bytes) -> Iterator[bytes]:
    """Yield what data decompress to, up to the end of the stream or of the data."""
    waiting = True
    while waiting:
        block = decoder.decompress(data, BLOCK_BYTES)
        if block:
            yield block
        data = b""
        waiting = not (decoder.eof or decoder.needs_input)


def read_lines(path: Path, seen: Seen = unseen) -> Iterator[bytes]:
    """Yield a file's lines without their ends (``\\n`` or ``\\r\\n``); the last may lack one."""
    pending: list[bytes] = []
    pending_bytes = number = 0
    for block in read_blocks(path, seen):
        head, *rest = block.split(b"\n")
        pending.append(head)
        pending_bytes += len(head)
        if not rest:
            if pending_bytes > LONGEST_LINE:
                raise DataError(
                    f"{path}: line {number + 1:,} is longer than {LONGEST_LINE >> 20} MiB. "
                    "Is this a text file with one review a line?"
                )
            continue
        number += len(rest)
        yield b"".join(pending).removesuffix(b"\r")
        for line in rest[:-1]:
            yield line.removesuffix(b"\r")
        pending, pending_bytes = [rest[-1]], len(rest[-1])
    last = b"".join(pending)
    if last:
        yield last.removesuffix(b"\r")

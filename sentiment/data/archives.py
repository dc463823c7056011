"""Lines of plain and compressed files, streamed in bounded memory.

A truncated or corrupt archive is an error that names the byte, never a short data set. So the
decoders are driven here and not by ``bz2.open``, which ignores garbage after a stream.
"""

import bz2
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from sentiment.data.bz2_blocks import UnusualError, decode_blocks
from sentiment.data.zips import read_member
from sentiment.errors import ArchiveError, DataError
from sentiment.progress import OnRead, ignore_share

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

READ_BYTES = 1 << 16
BLOCK_BYTES = 1 << 20  # decompressed at a time: a few bytes may expand to gigabytes
MOST_THREADS = 4  # that decode one file
LONGEST_LINE = 1 << 26  # bytes; longer than this, the file cannot be one review per line
XZ_MEMORY = 1 << 28  # bytes; `xz -9` needs 65 MiB to decompress


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
    """``zlib``'s decoder, keeping its unused input as the other decoders do."""

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
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
    ".zst": zstd.ZstdDecompressor,
}
PADDED = (".gz", ".xz")  # zeros may follow the last stream


def read_blocks(path: Path, on_read: OnRead = ignore_share) -> Iterator[bytes]:
    """Yield a file's content, decompressed if its suffix is .bz2, .gz, .xz, .zst or .zip.

    A block has at most ``BLOCK_BYTES``, however well the file compresses. All concatenated streams
    of a file are read; a .zip must hold one table. ``on_read`` gets the share of the compressed
    bytes read. Raises ArchiveError if the data are truncated, corrupt or of another format,
    DataError if the file is empty or cannot be read.
    """
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".zip":
                yield from read_member(path, file, BLOCK_BYTES, on_read)
                return
            # A pipe, of size 0 like an empty file, cannot be read again.
            packed = path.suffix.lower() == ".bz2" and os.fstat(file.fileno()).st_size > 0
            threads = _threads() if packed else 1
            if threads > 1:
                yield from _read_side_by_side(path, file, on_read, threads)
            else:
                yield from _read_in_order(path, file, on_read)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _threads() -> int:
    """Return how many threads may decode one file: one per core that this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def _read_in_order(path: Path, file: BinaryIO, on_read: OnRead) -> Iterator[bytes]:
    chunks = _chunks(path, file, on_read)
    new_decoder = DECODERS.get(path.suffix.lower())
    return chunks if new_decoder is None else _decode(path, chunks, new_decoder)


def _read_side_by_side(
    path: Path, file: BinaryIO, on_read: OnRead, threads: int
) -> Iterator[bytes]:
    """Yield a bz2 file's content. Start again, in order, where its blocks cannot be told apart."""
    done = 0
    with suppress(UnusualError):
        for block in decode_blocks(_chunks(path, file, on_read), threads, BLOCK_BYTES):
            yield block
            done += len(block)
        return
    file.seek(0)
    for block in _read_in_order(path, file, on_read):
        if len(block) > done:
            yield block[done:]
        done = max(done - len(block), 0)


def _chunks(path: Path, file: BinaryIO, on_read: OnRead) -> Iterator[bytes]:
    size, offset = os.fstat(file.fileno()).st_size, 0  # 0 for a pipe; a log may grow
    while chunk := file.read(READ_BYTES):
        offset += len(chunk)
        on_read(offset / max(size, offset))
        yield chunk
    if not offset:
        raise DataError(f"{path}: is empty (0 bytes). Is the file complete?")


def _decode(
    path: Path, chunks: Iterator[bytes], new_decoder: Callable[[], Decoder]
) -> Iterator[bytes]:
    kind = path.suffix.lower().lstrip(".")
    decoder: Decoder | None = None
    padded = False  # only zeros may follow, or another stream
    offset = 0
    for chunk in chunks:
        data = chunk
        while data:
            if decoder is None and padded and not data.strip(b"\0"):
                break
            decoder = decoder or new_decoder()
            start = offset + len(chunk) - len(data)
            try:
                yield from _blocks(decoder, data)
            except (OSError, ValueError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
                raise ArchiveError(
                    f"{path}: not valid {kind} data near byte {start:,} ({error}). "
                    "Download the file again, or rename it after its real format."
                ) from error
            data = b""
            if decoder.eof:
                data, decoder, padded = decoder.unused_data, None, path.suffix.lower() in PADDED
        offset += len(chunk)
    if decoder is not None:
        raise ArchiveError(
            f"{path}: truncated: its {kind} data ends inside a stream, at byte {offset:,}. "
            "Download the file again."
        )


def _blocks(decoder: Decoder, data: bytes) -> Iterator[bytes]:
    """Yield the decompressed data, up to the end of the stream or of the input."""
    waiting = True
    while waiting:
        block = decoder.decompress(data, BLOCK_BYTES)
        if block:
            yield block
        data = b""
        waiting = not (decoder.eof or decoder.needs_input)


def whole_lines(path: Path, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file's blocks cut between lines, so that each ends with ``\\n``.

    One is added to a last line without it. Raises DataError for a line past ``LONGEST_LINE``.
    """
    pending: list[bytes] = []
    pending_bytes = number = 0
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            piece = b"".join([*pending, block[:end]])
            yield piece
            number += piece.count(b"\n")
            pending, pending_bytes = [], 0
        pending.append(block[end:])
        pending_bytes += len(block) - end
        if not end and pending_bytes > LONGEST_LINE:
            raise DataError(
                f"{path}: line {number + 1:,} is longer than {LONGEST_LINE >> 20} MiB. "
                "Is this a text file with one review per line?"
            )
    if last := b"".join(pending):
        yield last + b"\n"


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of :func:`whole_lines` without line ends, ``\\n`` or ``\\r\\n``."""
    for piece in pieces:
        for line in piece[:-1].split(b"\n"):
            yield line.removesuffix(b"\r")

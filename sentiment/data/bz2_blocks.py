"""Blocks of a bz2 file, decoded side by side on threads.

A bz2 stream is ``BZh`` and a digit, then blocks, then its end. A block begins with a 48-bit mark
and its CRC, at any bit; the end with another mark and the CRC of all blocks, filled up to a whole
byte. Streams may follow each other. So the file is cut at the marks, and each block wrapped as a
stream of its own, of which the standard decoder checks the CRC and that it ends where it was cut.

Where a mark occurs by chance inside a block, or anything else does not fit, the caller has to
decode the file as a whole. What was yielded until then is right.

The format: https://github.com/dsnet/compress/blob/master/doc/bzip2-format.pdf
"""

import re
from bz2 import BZ2Decompressor
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

BLOCK, END = 0x314159265359, 0x177245385090  # the marks
HEADERS = range(0x425A6831, 0x425A683A)  # BZh1 to BZh9
MOST_PACKED = 1 << 22  # bytes; a block has at most 900,000 symbols of 20 bits, and its tables
# The five bytes that a mark fills, by the bit of the byte before them at which it begins.
FILLED = {
    bytes(mark << 8 - bit >> later & 255 for later in (40, 32, 24, 16, 8)): (mark, bit)
    for mark in (BLOCK, END)
    for bit in range(8)
}
MARKS = re.compile(b"|".join([re.escape(filled) for filled in FILLED]))
Started = tuple[bytes, BZ2Decompressor]


class UnusualError(Exception):
    """The file cannot be cut into blocks: it is damaged, or a block contains a mark by chance."""


def decode_blocks(chunks: Iterable[bytes], threads: int, most: int) -> Iterator[bytes]:
    """Yield the content of a bz2 file that is not empty, at most ``most`` bytes at a time.

    Up to two blocks per thread are decoded ahead, and no more than ``most`` bytes of each. Raises
    UnusualError where only a decoder of whole streams can tell what the file holds.
    """
    pool = ThreadPoolExecutor(threads, "bz2")
    ahead: deque[Future[Started]] = deque()
    try:
        for stream in _streams(chunks):
            ahead.append(pool.submit(_start, stream, most))
            if len(ahead) > 2 * threads:
                yield from _finish(ahead.popleft().result(), most)
        while ahead:
            yield from _finish(ahead.popleft().result(), most)
    except OSError as error:  # of the decoder, or of a file that cannot be read on
        raise UnusualError from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(stream: bytes, most: int) -> Started:
    decoder = BZ2Decompressor()
    return decoder.decompress(stream, most), decoder


def _finish(started: Started, most: int) -> Iterator[bytes]:
    """Yield the content of one block, which may be much longer than ``most``."""
    content, decoder = started
    while content:
        yield content
        content = b"" if decoder.eof else decoder.decompress(b"", most)
    if not decoder.eof:
        raise UnusualError


def _streams(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each block as a stream of one block, whose CRC is the block's."""
    header = combined = place = 0
    for size, bits in _pieces(chunks):
        place += size
        rest = size - 80  # bits after the mark and the CRC
        if rest < 0:
            raise UnusualError
        mark, crc = divmod(bits >> rest, 1 << 32)
        if mark == BLOCK:
            combined = (combined << 1 | combined >> 31) & 0xFFFFFFFF ^ crc
            stream = ((header << size | bits) << 48 | END) << 32 | crc
            yield (stream << -size % 8).to_bytes(14 + -(-size // 8), "big")
        else:  # the end of a stream and the header of the next
            header = bits & 0xFFFFFFFF
            if crc != combined or rest not in range(32, 40) or place % 8 or header not in HEADERS:
                raise UnusualError
            combined = 0


def _pieces(chunks: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Yield what lies from each mark to the next: the number of its bits, and the bits.

    The file is put between two streams without a block, so that its pieces are all alike.
    """
    end = END.to_bytes(6, "big")
    data, first = bytearray(end + bytes(4)), 0
    for chunk in chain(chunks, [b"BZh9" + end + bytes(4)]):
        place = len(data) - 5  # where no mark was looked for yet
        data += chunk
        while match := MARKS.search(data, place, len(data) - 1):
            place = match.start() + 1
            mark, bit = FILLED[match[0]]
            start = 8 * match.start() - 8 + bit
            if _bits(data, start, start + 48) == mark:
                yield start - first, _bits(data, first, start)
                first = start
        del data[: first // 8]
        first %= 8
        if len(data) > MOST_PACKED:
            raise UnusualError


def _bits(data: bytearray, start: int, stop: int) -> int:
    whole = int.from_bytes(data[start // 8 : -(-stop // 8)], "big")
    return whole >> -stop % 8 & (1 << stop - start) - 1

"""Blocks decoded side by side: the same bytes and errors as the standard decoder's, always."""

import bz2
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.data import archives
from sentiment.data.archives import read_blocks
from sentiment.data.bz2_blocks import BLOCK, END, UnusualError, decode_blocks
from sentiment.data.ingest import IngestConfig, ingest_file
from sentiment.errors import DataError

MOST = 1 << 20
# Two blocks of a few bytes each, since at level 1 a block has 100,000 bytes.
SMALL = bz2.compress(b"one line\nof two\n" * 6_400, 1)
EMPTY = bz2.compress(b"")
NOISE = Random(7).randbytes(350_000)


def chunks(data: bytes, size: int = 1 << 16) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def decoded(packed: bytes, size: int = 1 << 16, most: int = MOST) -> bytes:
    blocks = list(decode_blocks(chunks(packed, size), threads=2, most=most))
    assert all(0 < len(block) <= most for block in blocks)
    return b"".join(blocks)


def outcome(path: Path, threads: int) -> tuple[bytes, str]:
    """Return what is read from a file, and the error at its end."""
    content = b""
    with patch.object(archives, "_threads", lambda: threads):
        try:
            for block in read_blocks(path):
                content += block
        except DataError as error:
            return content, str(error)
    return content, ""


def assert_as_one_thread_reads(path: Path, packed: bytes) -> None:
    path.write_bytes(packed)
    (expected, expected_error), (content, error) = outcome(path, 1), outcome(path, 2)
    assert error == expected_error
    assert content == expected if not error else content.startswith(expected)


def as_bits(data: bytes) -> str:
    return f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"


def as_bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def with_bits_inside(stream: bytes, extra: str) -> bytes:
    """Put bits into the first block of a stream, as selectors of Huffman tables, of which a decoder
    ignores those that it does not need."""
    bits = as_bits(stream)
    place = 32 + 48 + 32 + 1 + 24  # header, mark, CRC, randomised, origin
    place += 16 + 16 * bits[place : place + 16].count("1") + 3  # symbols used, number of tables
    count = int(bits[place : place + 15], 2)
    stop = place + 15
    for _ in range(count):
        stop = bits.index("0", stop) + 1
    more = f"{count + extra.count('0'):015b}"
    return as_bytes(bits[:place] + more + bits[place + 15 : stop] + extra + bits[stop:])


contents = st.binary(max_size=300) | st.builds(
    lambda unit, times: unit * times, st.binary(min_size=1, max_size=9), st.integers(1, 60_000)
)


@given(
    streams=st.lists(st.tuples(contents, st.integers(1, 9)), min_size=1, max_size=5),
    size=st.integers(1, 3_000),
    most=st.integers(1_000, 1 << 20),
)
def test_streams_of_any_content_and_level_are_decoded(
    streams: list[tuple[bytes, int]], size: int, most: int
) -> None:
    packed = b"".join(bz2.compress(content, level) for content, level in streams)
    assert decoded(packed, size, most) == bz2.decompress(packed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        NOISE,
        b"".join(b"1AY&SY" + bytes([n]) * (n % 7) + b"\x17rE8P\x90" for n in range(256)) * 200,
        b"\x31\x41\x59\x26\x53\x59" * 60_000,
    ],
    ids=["nothing", "one byte", "noise", "both marks", "one mark"],
)
@pytest.mark.parametrize("level", [1, 9])
def test_a_stream_is_decoded(content: bytes, level: int) -> None:
    assert decoded(bz2.compress(content, level)) == content


def test_a_block_of_zeros_is_decoded_piece_by_piece() -> None:
    packed = bz2.compress(bytes(50_000_000))
    assert len(packed) < 100
    total = 0
    for block in decode_blocks([packed], threads=2, most=MOST):
        total += len(block)
        assert len(block) <= MOST
        assert not any(block[::1_000])
    assert total == 50_000_000


def test_many_streams_one_after_the_other_are_decoded() -> None:
    parts = [NOISE[a:b] for a, b in pairwise([*range(0, 6_000, 9), 6_000])]
    assert (
        decoded(b"".join(map(bz2.compress, [*parts, b"", b"", b"end"]))) == NOISE[:6_000] + b"end"
    )


def test_the_ends_of_the_chunks_do_not_matter() -> None:
    packed = SMALL + bz2.compress(b"") + SMALL
    text = bz2.decompress(packed)
    for size in range(1, 30):
        assert decoded(packed, size) == text
    for cut in range(len(packed)):
        parts = [packed[:cut], packed[cut:]]
        assert b"".join(decode_blocks(parts, threads=2, most=MOST)) == text


@pytest.mark.parametrize("mark", [BLOCK, END], ids=["block", "end"])
@pytest.mark.parametrize("bit", range(8))
def test_a_mark_inside_a_block_does_not_matter(tmp_path: Path, mark: int, bit: int) -> None:
    content = b"".join(b"line %d\n" % (n * n) for n in range(2_000))
    packed = with_bits_inside(bz2.compress(content), "0" * bit + f"{mark:048b}" + "0" * (8 - bit))
    assert bz2.decompress(packed) == content  # a valid file with a third mark
    with pytest.raises(UnusualError):
        decoded(packed)
    assert decoded(with_bits_inside(bz2.compress(content), "0" * 56)) == content
    path = tmp_path / "reviews.bz2"
    path.write_bytes(SMALL + packed + SMALL)
    assert outcome(path, 2) == (bz2.decompress(SMALL) + content + bz2.decompress(SMALL), "")


def test_a_file_cut_anywhere_ends_in_the_same_error(tmp_path: Path) -> None:
    packed = SMALL + bz2.compress(b"the second stream")
    for size in range(len(packed) + 1):
        assert_as_one_thread_reads(tmp_path / "cut.bz2", packed[:size])


def test_any_changed_bit_ends_in_the_same_error(tmp_path: Path) -> None:
    packed = SMALL + bz2.compress(b"the second stream")
    for place in range(0, 8 * len(packed), 7):
        changed = int.from_bytes(packed, "big") ^ 1 << place
        assert_as_one_thread_reads(tmp_path / "bit.bz2", changed.to_bytes(len(packed), "big"))


@pytest.mark.parametrize("read_bytes", [1, 7, 100])
@pytest.mark.parametrize(
    "more",
    [
        b"x",
        bytes(9),
        b"BZh9",
        b"BZh0" + EMPTY[4:],
        b"BZh0" + SMALL[4:],
        SMALL[:-9],
        SMALL[:-4] + bytes(4),
        bytes(999),
    ],
)
def test_whatever_follows_a_stream_ends_in_the_same_error(
    tmp_path: Path, more: bytes, read_bytes: int
) -> None:
    with patch.object(archives, "READ_BYTES", read_bytes):
        assert_as_one_thread_reads(tmp_path / "more.bz2", SMALL + more)


def test_a_stream_between_two_bytes_ends_in_the_same_error(tmp_path: Path) -> None:
    bits = as_bits(SMALL)
    end = bits.index(f"{END:048b}") + 48 + 32
    assert end % 8
    path = tmp_path / "between.bz2"
    assert_as_one_thread_reads(path, as_bytes(bits[:end] + as_bits(EMPTY)))
    assert "not valid bz2 data near byte" in outcome(path, 2)[1]


def test_a_missing_block_is_noticed(tmp_path: Path) -> None:
    bits = as_bits(SMALL)
    first, second = [at for at in range(len(bits)) if bits.startswith(f"{BLOCK:048b}", at)]
    path = tmp_path / "missing.bz2"
    assert_as_one_thread_reads(path, as_bytes(bits[:first] + bits[second:]))
    assert "not valid bz2 data near byte 0" in outcome(path, 2)[1]


def test_a_block_longer_than_any_is_not_waited_for() -> None:
    endless = iter(lambda: bytes(1 << 16), None)
    with pytest.raises(UnusualError):
        list(decode_blocks(endless, threads=2, most=MOST))


def test_few_blocks_are_read_ahead() -> None:
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield SMALL * 2  # four blocks

    blocks = decode_blocks(counted(), threads=2, most=MOST)
    next(blocks)
    assert taken == 2  # four blocks ahead of the first
    blocks.close()


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("bz2")]


def test_threads_end_with_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "train.ft.txt.bz2"
    path.write_bytes(bz2.compress(b"__label__1 poor\n__label__2 good\n" * 40_000, 1))
    with patch.object(archives, "_threads", lambda: 2):
        blocks = read_blocks(path)
        next(blocks)
        assert decoding_threads()
        blocks.close()
        assert not decoding_threads()
        done = ingest_file(path, split="train", limit=10, ingest=IngestConfig(), out=tmp_path)
    assert done["read"] == 10
    assert not decoding_threads()


def test_a_process_that_stops_reading_can_end(tmp_path: Path) -> None:
    path = tmp_path / "noise.bz2"
    path.write_bytes(bz2.compress(NOISE * 9, 1))
    program = (
        "import sys; from pathlib import Path; from sentiment.data import archives\n"
        "archives._threads = lambda: 2\n"
        "blocks = archives.read_blocks(Path(sys.argv[1])); next(blocks); sys.exit(3)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], timeout=60, capture_output=True)
    assert (done.returncode, done.stderr) == (3, b"")


def test_one_core_decodes_without_threads(tmp_path: Path) -> None:
    path = tmp_path / "small.bz2"
    path.write_bytes(SMALL)
    with patch.object(archives, "decode_blocks", side_effect=AssertionError):
        assert outcome(path, 1) == (bz2.decompress(SMALL), "")

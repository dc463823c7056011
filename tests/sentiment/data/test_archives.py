"""Lines from plain and compressed files: all of them, or an error that names the byte."""

import bz2
import gzip
import lzma
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.data import archives
from sentiment.data.archives import read_blocks
from sentiment.errors import ArchiveError, DataError
from tests.support.reviews import read_lines

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# With a checksum: without one, a Zstandard frame cannot know that a byte of its content changed.
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".bz2": bz2.compress,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
# Lines that do not pack into next to nothing, so that there are many places to cut.
TEXT = b"".join(b"line %d says %d\n" % (n, n * n * 7919 % 10_007) for n in range(60))

packed = pytest.mark.parametrize("suffix", PACK)


def plain_lines(data: bytes) -> list[bytes]:
    *whole, last = data.split(b"\n")
    return [line.removesuffix(b"\r") for line in [*whole, *([last] if last else [])]]


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@packed
def test_a_packed_file_reads_like_the_plain_one(tmp_path: Path, suffix: str) -> None:
    plain = written(tmp_path, "reviews.txt", TEXT)
    path = written(tmp_path, f"reviews.txt{suffix}", PACK[suffix](TEXT))
    assert b"".join(read_blocks(path)) == TEXT
    assert list(read_lines(path)) == list(read_lines(plain)) == TEXT.splitlines()


@packed
def test_the_suffix_may_be_in_capitals(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, f"REVIEWS.TXT{suffix.upper()}", PACK[suffix](TEXT))
    assert list(read_lines(path)) == TEXT.splitlines()


@packed
def test_content_larger_than_a_read_stays_whole(tmp_path: Path, suffix: str) -> None:
    data = b"".join(b"%d " % (n * n) + b"x" * (n % 90) + b"\n" for n in range(9_000))
    path = written(tmp_path, f"large{suffix}", PACK[suffix](data))
    with patch.object(archives, "READ_BYTES", 1_000):
        assert list(read_lines(path)) == data.splitlines()


@packed
@given(
    cuts=st.lists(st.integers(0, len(TEXT)), max_size=4),
    read_bytes=st.integers(1, 500),
    block_bytes=st.integers(1, 500),
)
def test_streams_one_after_the_other_are_read_whole(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    cuts: list[int],
    read_bytes: int,
    block_bytes: int,
) -> None:
    ends = [0, *sorted(cuts), len(TEXT)]
    streams = [PACK[suffix](TEXT[a:b]) for a, b in pairwise(ends)]
    path = written(tmp_path_factory.getbasetemp(), f"streams{suffix}", b"".join(streams))
    with (
        patch.object(archives, "READ_BYTES", read_bytes),
        patch.object(archives, "BLOCK_BYTES", block_bytes),
    ):
        blocks = list(read_blocks(path))
    assert b"".join(blocks) == TEXT
    assert max(map(len, blocks)) <= block_bytes


@packed
def test_a_few_bytes_that_expand_to_megabytes_stay_small(tmp_path: Path, suffix: str) -> None:
    line, count = b"__label__2 " + b"x" * 243 + b"\n", 120_000
    path = written(tmp_path, f"bomb{suffix}", PACK[suffix](line * count))
    assert path.stat().st_size < archives.READ_BYTES * 2
    tracemalloc.start()
    try:
        lines = sum(one == line[:-1] for one in read_lines(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert lines == count
    assert peak < len(line) * count / 2


@packed
@pytest.mark.parametrize("block_bytes", [7, archives.BLOCK_BYTES])
def test_a_file_cut_anywhere_is_truncated_at_its_size(
    tmp_path: Path, suffix: str, block_bytes: int
) -> None:
    whole = PACK[suffix](TEXT)
    with patch.object(archives, "BLOCK_BYTES", block_bytes):
        for size in range(1, len(whole)):
            path = written(tmp_path, f"cut{suffix}", whole[:size])
            with pytest.raises(ArchiveError, match=rf"truncated.* at byte {size:,}\."):
                list(read_lines(path))


@packed
def test_a_second_stream_cut_anywhere_is_truncated(tmp_path: Path, suffix: str) -> None:
    first, second = PACK[suffix](TEXT[:400]), PACK[suffix](TEXT[400:])
    for size in range(len(first) + 1, len(first + second), 7):
        path = written(tmp_path, f"cut{suffix}", (first + second)[:size])
        with pytest.raises(ArchiveError, match=rf"truncated.* at byte {size:,}\."):
            list(read_lines(path))


def test_the_offset_of_a_large_truncated_file_has_thousands_separators(tmp_path: Path) -> None:
    path = written(tmp_path, "cut.bz2", bz2.compress(Random(1).randbytes(5_000))[:1_234])
    with pytest.raises(ArchiveError, match=r"at byte 1,234\."):
        list(read_lines(path))


@packed
def test_a_changed_byte_never_gives_other_data(tmp_path: Path, suffix: str) -> None:
    whole = PACK[suffix](TEXT)
    refused = 0
    places = range(len(whole))
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 0b0101_0101
        path = written(tmp_path, f"broken{suffix}", bytes(broken))
        try:
            data = b"".join(read_blocks(path))
        except ArchiveError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert data == TEXT  # a byte that carries nothing, such as gzip's time stamp
    assert refused > 0.9 * len(places)


@packed
def test_a_corrupt_middle_is_named_with_its_byte(tmp_path: Path, suffix: str) -> None:
    first, second = PACK[suffix](TEXT), PACK[suffix](TEXT[::-1])
    broken = first + bytes(10) + second[10:]
    path = written(tmp_path, f"broken{suffix}", broken)
    kind = suffix.lstrip(".")
    with pytest.raises(ArchiveError, match=f"not valid {kind} data near byte {len(first):,} "):
        list(read_lines(path))


@packed
def test_a_file_of_another_format_is_refused_at_byte_0(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, f"plain{suffix}", b"__label__2 not packed at all\n")
    with pytest.raises(ArchiveError, match=r"near byte 0 .*real format"):
        list(read_lines(path))


@packed
def test_whatever_follows_a_stream_must_be_a_stream(tmp_path: Path, suffix: str) -> None:
    whole = PACK[suffix](TEXT)
    path = written(tmp_path, f"trailing{suffix}", whole + b"something else\n")
    with pytest.raises(ArchiveError, match=f"near byte {len(whole):,} "):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("zeros", [4, 512, 3 * archives.READ_BYTES])
def test_zeros_may_pad_a_file(tmp_path: Path, suffix: str, zeros: int) -> None:
    """Tapes and block devices do so; gzip, xz and Python's own modules read such files."""
    whole = PACK[suffix](TEXT)
    path = written(tmp_path, f"padded{suffix}", whole + bytes(zeros))
    assert list(read_lines(path)) == TEXT.splitlines()
    path = written(tmp_path, f"else{suffix}", whole + bytes(zeros) + b"something else")
    with pytest.raises(ArchiveError, match=f"not valid {suffix[1:]} data near byte"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", [".bz2", ".zst"])
def test_zeros_pad_no_other_file(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, f"padded{suffix}", PACK[suffix](TEXT) + bytes(9))
    with pytest.raises(ArchiveError, match="near byte"):
        list(read_lines(path))


def test_nothing_but_zeros_is_no_gzip_file(tmp_path: Path) -> None:
    path = written(tmp_path, "zeros.gz", bytes(100))
    with pytest.raises(ArchiveError, match="near byte 0 "):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", ["", ".csv", *PACK])
def test_an_empty_file_is_an_error_that_says_so(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, f"empty{suffix}", b"")
    with pytest.raises(DataError, match=rf"empty{suffix}: is empty \(0 bytes\)"):
        list(read_lines(path))


@packed
def test_a_packed_nothing_has_no_line(tmp_path: Path, suffix: str) -> None:
    assert list(read_lines(written(tmp_path, f"nothing{suffix}", PACK[suffix](b"")))) == []


@pytest.mark.parametrize("name", ["missing.txt", "missing.bz2"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: cannot be read \(No such file"):
        list(read_lines(tmp_path / name))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory"):
        list(read_lines(tmp_path))


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"one\r\ntwo\r\n", [b"one", b"two"]),
        (b"one\ntwo", [b"one", b"two"]),
        (b"one\r\ntwo\r", [b"one", b"two"]),
        (b"one\n\ntwo\n\n", [b"one", b"", b"two", b""]),
        (b"one\rtwo\n", [b"one\rtwo"]),
        (b"one\r\r\n", [b"one\r"]),
        ("a\u2028b\x85c\x0cd\n".encode(), ["a\u2028b\x85c\x0cd".encode()]),
        (b"\x00\n", [b"\x00"]),
    ],
)
def test_only_line_feeds_end_a_line(tmp_path: Path, data: bytes, lines: list[bytes]) -> None:
    assert list(read_lines(written(tmp_path, "lines.txt", data))) == lines


pieces = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bc", b"\xff", b"\x00"]))


@given(
    data=(st.binary(max_size=60) | pieces.map(b"".join)).filter(len), read_bytes=st.integers(1, 9)
)
def test_lines_are_those_of_a_plain_split_wherever_blocks_end(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, read_bytes: int
) -> None:
    path = written(tmp_path_factory.getbasetemp(), "split.txt", data)
    with patch.object(archives, "READ_BYTES", read_bytes):
        assert list(read_lines(path)) == plain_lines(data)


def test_a_line_past_the_longest_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = written(tmp_path, "long.txt", b"one\ntwo\n" + b"x" * (3 << 20) + b"\nfour\n")
    lines = read_lines(path)
    with patch.object(archives, "LONGEST_LINE", 1 << 20):
        assert [next(lines), next(lines)] == [b"one", b"two"]
        with pytest.raises(DataError, match=r"line 3 is longer than 1 MiB"):
            next(lines)


def test_a_line_of_the_longest_size_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "long.txt", b"x" * (1 << 20) + b"\nnext\n")
    with patch.object(archives, "LONGEST_LINE", 1 << 20):
        assert [len(line) for line in read_lines(path)] == [1 << 20, 4]

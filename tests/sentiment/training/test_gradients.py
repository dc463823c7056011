"""Gradients of two processes, sent by rows, against an all_reduce of the whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from sentiment.training.distributed import ProcessGroup, process_group
from sentiment.training.gradients import TALL, add_up, touched_rows

CPU = torch.device("cpu")
CASES = 60


def gradients(case: int, rank: int) -> list[Tensor]:
    """Return gradients with few, many, all or none of the rows touched in a process."""
    random = torch.Generator().manual_seed(1000 * case + rank)
    found = []
    for rows, width in ((TALL, 5), (3 * TALL, 1), (TALL - 1, 3), (7, 7)):
        density = (0.0, 0.001, 0.01, 0.2, 0.4, 1.0)[(case + rank * (case // 6)) % 6]
        touched = torch.rand(rows, generator=random) < density
        values = torch.randn(rows, width, generator=random)
        found.append(torch.where(touched[:, None], values, 0.0))
    special = [-0.0, torch.inf, -torch.inf, torch.nan, 1e-45]
    for place, value in enumerate(special):
        if (case + rank + place) % 3 == 0:
            found[0][100 * place + 3 * (case % 2) * rank, -1] = value
    return [*found, torch.randn(9, generator=random)]


def bits(tensors: list[Tensor]) -> list[list[int]]:
    return [tensor.flatten().view(torch.int32).tolist() for tensor in tensors]


def compare(group: ProcessGroup) -> list[int]:
    """Return the cases in which some process finds other bits than an all_reduce of the whole."""
    wrong = []
    for case in range(CASES):
        share = (0.5, 0.0, 1.0, 0.3)[(case + 2 * group.rank) % 4]
        found, expected = gradients(case, group.rank), gradients(case, group.rank)
        add_up(found, share)
        for each in expected:
            dist.all_reduce(each.mul_(share))
        if group.any(bits(found) != bits(expected)):
            wrong.append(case)
    return wrong


def test_the_bits_are_those_of_sending_all(tmp_path: Path) -> None:
    with process_group(2, CPU, tmp_path, compare) as group:
        assert compare(group) == []


ROWS, WIDTH = 4 * TALL, 16
TOUCHED = (1, 10, 100, 1000, ROWS // 2, ROWS // 2 + 1, ROWS)


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the bytes of every tensor that this process contributes."""
    sent: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("all_reduce", "all_gather"):
            original = getattr(dist, name)

            def call(*given: Any, original: Any = original, **options: Any) -> Any:
                sent.append(given[-1].numel() * given[-1].element_size())
                return original(*given, **options)

            patch.setattr(dist, name, call)
        yield sent


def bytes_sent(group: ProcessGroup) -> list[int]:
    """Return the bytes for a table of which both processes touch the same first rows."""
    sums = []
    for touched in TOUCHED:
        table = torch.zeros(ROWS, WIDTH)
        table[:touched] = 1.0
        with counted() as sent:
            add_up([table], 0.5)
        assert table[:touched].eq(1.0).all() and not table[touched:].any()
        sums.append(sum(sent))
    return sums


def test_what_is_sent_grows_with_the_rows_that_were_touched(tmp_path: Path) -> None:
    with process_group(2, CPU, tmp_path, bytes_sent) as group:
        sent = dict(zip(TOUCHED, bytes_sent(group), strict=True))
    count, number, row, whole = 8, 4, 4 * WIDTH, 4 * ROWS * WIDTH
    for touched in TOUCHED:
        by_rows = count + touched * (number + row)
        assert sent[touched] == (by_rows if 2 * touched <= ROWS else count + whole)


def test_touched_rows_are_those_that_are_not_all_zero() -> None:
    table = torch.zeros(9, 3)
    table[2, 1], table[4, 0], table[7, 2] = 1e-45, -0.0, torch.nan
    assert touched_rows(table).tolist() == [2, 4, 7]

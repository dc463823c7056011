"""Adding up gradients over processes: whole, or by the rows that the batch touched.

A batch has few of a vocabulary's words, so most rows of the embedding's gradient are 0, as are most
weights' of n-grams. The optimizer still updates every row.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

TALL = 1024  # rows from which looking for those that are touched can pay


def add_up(gradients: Sequence[Tensor], share: float) -> None:
    """Replace each gradient, times ``share``, by its sum over all processes.

    Of a matrix of ``TALL`` rows or more only those rows are sent that are not 0 in some process, if
    there are any, and at most half of all. With two processes the bits are those of sending all.
    """
    tables = [each for each in gradients if each.dim() == 2 and len(each) >= TALL]
    touched = dict(zip(map(id, tables), rows_in_common(tables), strict=True))
    sums, packed = [], []
    for gradient in gradients:
        rows = touched.get(id(gradient))
        if rows is None:
            sums.append(gradient.mul_(share))
        else:
            sums.append(gradient[rows].mul_(share))
            packed.append((gradient, rows, sums[-1]))
    for work in [dist.all_reduce(each, async_op=True) for each in sums]:
        work.wait()
    for gradient, rows, total in packed:
        gradient[rows] = total


def rows_in_common(tables: Sequence[Tensor]) -> list[Tensor | None]:
    """Return for each table, (rows, width), the rows that some process has touched.

    int64, ascending, the same in all processes; None where they are none, or more than half of all.
    """
    if not tables:
        return []
    own = [touched_rows(table) for table in tables]
    counts = gathered(torch.tensor([len(rows) for rows in own], device=tables[0].device))
    most = torch.stack(counts).amax(dim=0).tolist()
    found: list[Tensor | None] = []
    for table, rows, longest in zip(tables, own, most, strict=True):
        if not 0 < 2 * longest <= len(table):
            found.append(None)
            continue
        padded = rows.new_full((longest,), -1)  # all must send as much
        padded[: len(rows)] = rows
        union = torch.cat(gathered(padded)).unique()  # type: ignore[no-untyped-call]
        union = union[union >= 0].long()
        found.append(union if 2 * len(union) <= len(table) else None)
    return found


def touched_rows(table: Tensor) -> Tensor:
    """Return the rows of a matrix that hold anything but 0.0, int32, ascending.

    A row with -0.0 counts, since adding up the whole would turn that into 0.0.
    """
    # PyTorch looks through bytes several times as fast as through whole numbers.
    return table.view(torch.uint8).any(dim=1).nonzero().squeeze(1).int()


def gathered(tensor: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, which have the same shape, by rank."""
    found = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(found, tensor)
    return found

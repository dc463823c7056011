"""``sentiment export``, which never loads Prefect."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Model, Storage, output


def export(
    out: Annotated[Path, typer.Argument(help="File to write, such as model.onnx.")],
    model: Model = None,
    storage: Storage = DEFAULT_STORAGE,
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit weights: smaller, slightly less exact.")
    ] = False,
) -> None:
    """Export a model as ONNX, for use without PyTorch.

    Also writes its vocabulary and settings.

    Needs the extra: pip install -c constraints.txt -e '.[onnx]'.
    """
    from sentiment.model.export import export_onnx
    from tasks.registry.in_use import bundle_at

    for path in export_onnx(bundle_at(model, storage), out, int8=int8):
        output.print(f"{path}  {path.stat().st_size:,} bytes")

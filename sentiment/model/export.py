"""Export to ONNX, for scoring without PyTorch.

The graph takes ``ids`` int64 (batch, steps) and ``lengths`` int64 (batch,), padded as in training,
and returns ``probability`` float32 (batch,), that of "positive". Vocabulary and settings are
written beside it, since texts must become ids as they did in training.
"""

import hashlib
import logging
import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from sentiment.errors import ModelError, StorageError
from sentiment.model.bundle import Bundle
from sentiment.model.bundle_files import CARD, CONFIG, VOCABULARY
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.vocabulary import PAD, UNKNOWN

OPSET = 17
FORMAT = 1  # of the graph's inputs, outputs and metadata
INPUTS, OUTPUT = ("ids", "lengths"), "probability"


class Probability(nn.Module):
    """A model that returns probabilities instead of logits."""

    def __init__(self, model: SentimentLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.model(ids, lengths)
        return logits.sigmoid()


def export_onnx(folder: Path, out: Path, *, int8: bool = False) -> list[Path]:
    """Write a bundle as the ONNX file ``out``, with vocabulary, settings and card beside it.

    ``int8`` stores the weights of LSTM and embedding as 8-bit integers. The same bundle gives the
    same bytes. Returns the files written. Raises ModelError if onnx is not installed, StorageError
    if ``out`` does not end in .onnx or cannot be written.
    """
    if out.is_dir():
        raise StorageError(f"{out} is a folder: name the file to write.")
    if out.suffix != ".onnx":
        name = out.with_name(f"{out.stem or 'model'}.onnx")
        raise StorageError(f"{out}: the format is ONNX, so name a file such as {name}.")
    try:
        import onnx  # noqa: F401

        if int8:
            import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"Exporting needs {error.name}: pip install -c constraints.txt -e '.[onnx]'"
        ) from error
    bundle = Bundle.load(folder)
    try:
        return _export(bundle, folder, out, int8)
    except OSError as error:
        raise StorageError(
            f"{error.filename or out}: cannot be written ({error.strerror or error})."
        ) from error


def _export(bundle: Bundle, folder: Path, out: Path, int8: bool) -> list[Path]:
    import onnx

    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent) as temporary:
        graph = Path(temporary) / "model.onnx"
        write_graph(bundle.model, graph)
        if int8:
            graph = _quantise(graph)
        model = onnx.load(graph)
        metadata = {
            "format": FORMAT,
            "bundle": bundle.digest,
            "vocabulary": hashlib.sha256((folder / VOCABULARY).read_bytes()).hexdigest(),
            "padding": bundle.config.train.padding,
            "max_length": bundle.config.tensors.max_length,
            "cut": bundle.config.tensors.cut,
            "pad_id": PAD,
            "unknown_id": UNKNOWN,
            "threshold": bundle.config.threshold,
            "weights": "int8" if int8 else "float32",
        }
        onnx.helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
        onnx.checker.check_model(model)
        onnx.save(model, graph)
        graph.replace(out)
    beside = {name: out.with_name(f"{out.stem}.{name}") for name in (CONFIG, VOCABULARY)}
    if (folder / CARD).is_file():
        beside[CARD] = out.with_name(f"{out.stem}.{CARD}")
    for name, copy in beside.items():
        shutil.copyfile(folder / name, copy)
    return [out, *beside.values()]


def write_graph(model: SentimentLSTM, path: Path) -> None:
    """Write the model's graph, for any batch and any number of steps."""
    ids = torch.tensor([[2, 3, 4, 5, 6], [2, 3, PAD, PAD, PAD]])
    axes = {"ids": {0: "batch", 1: "steps"}, "lengths": {0: "batch"}, OUTPUT: {0: "batch"}}
    with warnings.catch_warnings():
        # PyTorch's newer exporter unrolls an LSTM to the example's number of steps. This one warns
        # that it is deprecated, and about the batch, whose size is not fixed.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Probability(model),
            (ids, torch.tensor([5, 2])),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes=axes,
        )
    if not model.config.lstm:
        _declare_lengths(path)


def _declare_lengths(path: Path) -> None:
    """Give a graph the input ``lengths``, which the exporter drops where nothing reads it."""
    import onnx

    graph = onnx.load(path)
    kind = onnx.TensorProto.INT64
    graph.graph.input.append(onnx.helper.make_tensor_value_info("lengths", kind, ["batch"]))
    onnx.save(graph, path)


def _quantise(graph: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = graph.with_name("int8.onnx")
    root = logging.getLogger()  # it always logs advice to preprocess the model here
    root.addFilter(_no_advice)
    try:
        quantize_dynamic(graph, small, weight_type=QuantType.QInt8)
    finally:
        root.removeFilter(_no_advice)
    return small


def _no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()

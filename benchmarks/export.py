"""An exported model beside PyTorch: size, latency of single texts, agreement.

python -m benchmarks.export BUNDLE TEXTS, where TEXTS holds a text a line.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from sentiment.bundle import WEIGHTS, Bundle
from sentiment.export import Probability, export_onnx
from sentiment.tokenize import tokenize_texts

Ids = npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("texts", type=Path)
    given = parser.parse_args()
    bundle = Bundle.load(given.bundle)
    if bundle.config.train.padding == "left":
        parser.error("models that pad on the left are not measured here")
    longest = bundle.config.tensors.max_length
    texts = given.texts.read_text(encoding="utf-8").splitlines()
    words = [found for found in tokenize_texts(texts, bundle.config.tokenize) if found]
    reviews = [bundle.vocabulary.encode(w[:longest]).astype(np.int64)[None] for w in words]

    model = Probability(bundle.model)
    size = (given.bundle / WEIGHTS).stat().st_size

    def by_torch(ids: Ids) -> float:
        with torch.inference_mode():
            return float(model(torch.from_numpy(ids), torch.tensor([ids.shape[1]])))

    expected = report("torch", size, by_torch, reviews, None)
    with TemporaryDirectory() as folder:
        for name, int8 in (("onnx", False), ("onnx int8", True)):
            path = export_onnx(given.bundle, Path(folder) / "model.onnx", int8=int8)[0]
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

            def by_onnx(ids: Ids, session: onnxruntime.InferenceSession = session) -> float:
                lengths = np.array([ids.shape[1]])
                return float(session.run(None, {"ids": ids, "lengths": lengths})[0][0])

            report(name, path.stat().st_size, by_onnx, reviews, expected)


def report(
    name: str,
    size: int,
    score: Callable[[Ids], float],
    reviews: list[Ids],
    expected: npt.NDArray[np.float64] | None,
) -> npt.NDArray[np.float64]:
    """Print a line of figures, and return the probabilities."""
    score(reviews[0])
    chances, seconds = [], []
    for ids in reviews:
        start = time.perf_counter()
        chances.append(score(ids))
        seconds.append(time.perf_counter() - start)
    found = np.array(chances)
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    line = f"{name:<10} {size:>12,} bytes  p50 {p50:.2f} ms  p95 {p95:.2f} ms"
    if expected is not None:
        agreeing = np.mean((found >= 0.5) == (expected >= 0.5))
        line += f"  same label {agreeing:.2%}  largest difference {abs(found - expected).max():.1e}"
    print(line)
    return found


if __name__ == "__main__":
    main()

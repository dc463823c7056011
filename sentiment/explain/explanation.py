"""Why a text gets its probability, word by word."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sentiment.errors import DataError, ModelError
from sentiment.explain.attribution import ngram_attributions
from sentiment.explain.lstm_trace import Steps, trace
from sentiment.model.batches import BatchSource
from sentiment.model.bundle import Bundle
from sentiment.model.inference import probabilities, score
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.tensors import EncodedReviews, ends, offsets_of
from sentiment.text.tokenize import tokenize_text
from sentiment.text.vocabulary import PAD, UNKNOWN

# Points between the baseline and the text. Their number is doubled, up to the most, while the
# attributions miss their sum by more than the tolerance (in logits): with max pooling the slope
# jumps where another step becomes the largest, so the sum converges slowly.
FEWEST_POINTS, MOST_POINTS, TOLERANCE = 32, 1024, 0.005
AT_ONCE = 64  # points in a batch

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Activity:
    """One direction of the last layer at each word; each float of shape (words,).

    ``input``, ``forget`` and ``output`` are the gates' means over the units, from 0 (closed) to 1
    (open); ``cell`` is the norm of the cell state after the word.
    """

    input: Column
    forget: Column
    output: Column
    cell: Column


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why one text gets its probability; arrays are float64 of shape (words,).

    ``words`` are those that the model reads, ``known`` whether each is in its vocabulary,
    ``left_out`` the number of words that are not read, which follow the first ``gap`` words.
    ``running`` is P(positive) of the words up to and including each one. ``attributions`` add up to
    ``logit - baseline``, up to a small error of the method; ``baseline`` is the logit of as many
    unknown words without any n-gram. ``backward`` is None for a unidirectional model, ``forward``
    too for one without an LSTM.
    """

    words: tuple[str, ...]
    known: tuple[bool, ...]
    left_out: int
    gap: int
    probability: float
    logit: float
    baseline: float
    attributions: Column
    running: Column
    forward: Activity | None
    backward: Activity | None
    threshold: float = 0.5

    @property
    def label(self) -> str:
        """``positive`` if the probability is at least the model's threshold, else ``negative``."""
        return ("negative", "positive")[self.probability >= self.threshold]

    @property
    def miss(self) -> float:
        """The error, in logits, of the sum of the attributions."""
        return float(self.attributions.sum()) - (self.logit - self.baseline)

    @property
    def is_complete(self) -> bool:
        """Whether this error is within the tolerance."""
        return abs(self.miss) <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as a JSON object."""
        content: dict[str, Any] = {**vars(self), "miss": self.miss}
        for name in ("forward", "backward"):
            activity = content[name]
            content[name] = activity and {n: v.tolist() for n, v in vars(activity).items()}
        for name in ("attributions", "running"):
            content[name] = content[name].tolist()
        return content


def explain_text(bundle: Bundle, text: str, device: torch.device) -> Explanation:
    """Explain one text.

    Raises DataError if the text has no word, ModelError if captum is not installed.
    """
    model, config = bundle.model, bundle.config
    words = tokenize_text(text, config.tokenize)
    if not words:
        raise DataError("The text has no word, so there is nothing to explain.")
    read = config.tensors.kept(words)
    encoded = bundle.vocabulary.encode(read)
    prefixes = BatchSource(
        _prefixes(encoded),
        padding=config.train.padding,
        max_length=config.tensors.max_length,
        device=device,
    )
    logits = score(model, prefixes)
    batch = prefixes.take(np.array([len(read) - 1]))
    inside = batch.ids[0] != PAD
    attributions, baseline = attribute(model, batch.ids, batch.lengths)
    directions = trace(model, batch.ids[0])[-1] if model.config.lstm else []
    activities = [_activity(steps, inside) for steps in directions]
    running = probabilities(logits)
    return Explanation(
        words=tuple(read),
        known=tuple(bool(known) for known in encoded != UNKNOWN),
        left_out=len(words) - len(read),
        gap=min(len(read), ends(config.tensors.max_length, config.tensors.cut)[0]),
        probability=float(running[-1]),
        logit=float(logits[-1]),
        baseline=baseline,
        attributions=attributions[inside].double().cpu().numpy(),
        running=running,
        forward=activities[0] if activities else None,
        backward=activities[1] if len(activities) > 1 else None,
        threshold=config.threshold,
    )


def attribute(model: SentimentLSTM, ids: Tensor, lengths: Tensor) -> tuple[Tensor, float]:
    """Return the words' attributions, (steps,), and the baseline's logit.

    ``ids`` (1, steps) and ``lengths`` (1,) hold one review. The LSTM's logit is attributed by
    integrated gradients, the n-grams' exactly.
    """
    attributions = torch.zeros(ids.shape[1], device=ids.device)
    baseline = torch.zeros(1, device=ids.device)
    if model.config.lstm:
        unknown = torch.full_like(ids, UNKNOWN).masked_fill(ids == PAD, PAD)
        with torch.no_grad():
            words, blank = model.embedding(ids), model.embedding(unknown)
            baseline += model.scale[0] * model.read(blank, lengths)
        attributions += integrated_gradients(model, words, blank, lengths) * model.scale[0]
    if model.ngrams is not None:
        attributions += ngram_attributions(model.ngrams, ids)[0] * model.scale[-1]
        baseline += model.ngrams.bias.detach() * model.scale[-1]
    return attributions, float(baseline)


def integrated_gradients(
    model: SentimentLSTM, words: Tensor, blank: Tensor, lengths: Tensor
) -> Tensor:
    """Attribute the change of the LSTM's logit from ``blank`` to ``words``, both (1, steps, size).

    Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks" (2017). Returns (steps,).
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ModelError(
            "Explaining a text needs captum: pip install -c constraints.txt -e '.[explain]'"
        ) from error
    method, points = IntegratedGradients(model.read, multiply_by_inputs=True), FEWEST_POINTS
    while True:
        # cuDNN's LSTM runs backward in training mode only.
        with torch.backends.cudnn.flags(enabled=False):
            found, miss = method.attribute(
                words,
                blank,
                additional_forward_args=(lengths,),
                n_steps=points,
                internal_batch_size=AT_ONCE,
                return_convergence_delta=True,
            )
        if abs(float(miss)) <= TOLERANCE or points >= MOST_POINTS:
            shares: Tensor = found.detach().sum(dim=-1)[0].float()
            return shares
        points *= 2


def _prefixes(ids: npt.NDArray[np.int32]) -> EncodedReviews:
    """Return all prefixes of a text (one word, two words, ...) as reviews."""
    lengths = np.arange(1, len(ids) + 1, dtype=np.int32)
    nothing = np.zeros(len(ids), dtype=np.int32)
    return EncodedReviews(
        ids=np.concatenate([ids[:length] for length in lengths]),
        offsets=offsets_of(lengths),
        labels=nothing.astype(np.uint8),
        rows=nothing.astype(np.int64),
        words=lengths,
        unknown=nothing,
    )


def _activity(steps: Steps, inside: Tensor) -> Activity:
    gates = (steps.input, steps.forget, steps.output)
    columns = [*(gate.mean(dim=1) for gate in gates), steps.cell.norm(dim=1)]
    return Activity(*(column[inside].double().cpu().numpy() for column in columns))

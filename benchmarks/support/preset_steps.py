"""A preset's training steps on given reviews, to be timed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from benchmarks.accuracy import build
from benchmarks.support.training_ways import chosen_batches
from flows.config.presets import load_config
from sentiment.model.batches import BatchSource, Places
from sentiment.model.config import TrainConfig
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.tensors import EncodedReviews
from sentiment.text.vocabulary import Vocabulary
from sentiment.training.sentences import SentenceSampler
from sentiment.training.step import make_optimizer, training_step
from sentiment.training.train import longest_review
from tasks.run.spec import RunSpec
from tasks.stage import outputs_of
from tasks.store import Store


class Steps(NamedTuple):
    """``take`` takes one step on the reviews at some places; ``batches`` are such places."""

    config: TrainConfig
    take: Callable[[Places], torch.Tensor]
    batches: list[Places]
    tokens: float  # in a batch, on average


def prepared(storage: Path) -> Store:
    """Return a store that is ready to be written to."""
    store = Store(storage)
    store.prepare()
    return store


def preset_steps(
    preset: str, settings: Sequence[str], data: Path, storage: Path, steps: int
) -> Steps:
    """Run the stages up to tensors; return training steps of a new model."""
    pipeline = load_config(preset, settings)
    config = pipeline.train
    store = prepared(storage)
    spec = RunSpec(preset, pipeline, data, store)
    done = build(spec, Console(stderr=True, highlight=False), until="tensors")
    shards = outputs_of("train", done["ingest"], done["tensors"], "tensors.parquet")
    reviews = EncodedReviews.load([store.root / shard.path for shard in shards])
    (vocabulary,) = done["vocabulary"]
    words = Vocabulary.load(store.root / vocabulary.output("vocabulary.parquet").path)
    device = torch.device(config.device)
    longest = longest_review(config, pipeline.tensors)
    source = BatchSource(
        reviews,
        padding=config.padding,
        max_length=longest,
        device=device,
        cut=pipeline.tensors.cut,
    )
    model = SentimentLSTM(config.model, len(words)).to(device).train()
    if model.ngrams is not None:
        model.ngrams.fit_idf(source)
    optimizer = make_optimizer(model, config)
    sentences = SentenceSampler(config.sentences, words, device) if config.sentences else None
    batches = chosen_batches(source, config, steps)

    def take(places: Places) -> torch.Tensor:
        return training_step(model, source.take(places), optimizer, config, sentences)

    tokens = float(sum(source.lengths[places].sum() for places in batches)) / steps
    return Steps(config, take, batches, tokens)

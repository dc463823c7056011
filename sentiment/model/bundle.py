"""A model bundle: a folder with everything needed to score a text.

``model.safetensors`` holds the weights, ``config.json`` the settings, ``vocabulary.parquet`` the
words, ``profile.json`` what the training reviews were like (optional), ``history.parquet`` the
training history, ``SHA256SUMS`` the checksums of what is read here. Nothing in it is code or a
pickle, and loading it takes no more memory than its files do.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from sentiment.errors import DataError, ModelError
from sentiment.model.bundle_files import (
    CONFIG,
    PROFILE,
    VOCABULARY,
    WEIGHTS,
    check_bundle,
    write_checksums,
)
from sentiment.model.config import ModelConfig, TrainConfig
from sentiment.model.inference import EarlyExit
from sentiment.model.lstm import SentimentLSTM
from sentiment.model.profile import Profile
from sentiment.settings import Settings
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import TensorsConfig
from sentiment.text.vocabulary import Vocabulary

FORMAT = 3


class BundleConfig(Settings):
    """The content of ``config.json``: how texts become ids, and how the model was trained.

    From ``threshold`` on, a probability means positive. ``early_exits`` are for fast scoring.
    ``generated`` says whether the training reviews were generated. Bundles of older versions have
    none of these.
    """

    format: int = FORMAT
    threshold: float = Field(0.5, gt=0, lt=1)
    early_exits: tuple[EarlyExit, ...] = ()
    generated: bool = False
    tokenize: TokenizeConfig
    tensors: TensorsConfig
    train: TrainConfig

    @model_validator(mode="after")
    def _early_exits_fit_the_model(self) -> Self:
        factors = [len(each.factors) for each in self.early_exits]
        most = self.train.model.exits
        if factors != [*range(1, len(factors) + 1)] or len(factors) > most:
            raise ValueError(f"early_exits: at most {most} for this model, with 1, 2, ... factors")
        return self


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory; ``digest`` is the sha256 of its ``SHA256SUMS``."""

    config: BundleConfig
    vocabulary: Vocabulary
    model: SentimentLSTM
    profile: Profile | None
    digest: str

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read a bundle; raise ModelError if it is missing, damaged or of another version."""
        folder = folder.resolve()  # a link may lead elsewhere before the last file is read
        digest = check_bundle(folder)
        try:
            config = _read_config(folder / CONFIG)
            words = pq.read_metadata(folder / VOCABULARY).num_rows
            model = _read_model(folder / WEIGHTS, config.train.model, words)
            vocabulary = _read_vocabulary(folder / VOCABULARY)
            written = (folder / PROFILE).read_bytes() if (folder / PROFILE).exists() else None
            profile = Profile.model_validate_json(written) if written is not None else None
        except (DataError, ValueError, SafetensorError, RuntimeError, OSError) as error:
            raise ModelError(
                f"{folder}: damaged model bundle ({error}). Train the model again."
            ) from error
        return cls(config, vocabulary, model.eval(), profile, digest)


def _read_model(path: Path, config: ModelConfig, words: int) -> SentimentLSTM:
    """Read a model's weights; ValueError unless they are finite and of the settings' shapes.

    ``words`` is the size of the vocabulary.

    The shapes are compared before memory is taken for them: a few bytes of settings, perhaps a
    stranger's, could ask for any amount.
    """
    with safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        found = {name: (part.get_dtype(), *part.get_shape()) for name, part in slices.items()}
    if config.layers > len(found):  # each has several
        raise ValueError(f"{path.name}: {config.layers:,} layers in {len(found)} weights")
    with torch.device("meta"):
        model = SentimentLSTM(config, words)
    expected = {name: ("F32", *value.shape) for name, value in model.state_dict().items()}
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"{path.name}: {name} is {_shape(found.get(name))} instead of "
                f"{_shape(expected.get(name))}"
            )
    weights = load_file(path)
    if broken := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise ValueError(f"{path.name}: {broken[0]} holds values that are not finite")
    model.to_empty(device="cpu").load_state_dict(weights)
    return model


def _read_vocabulary(path: Path) -> Vocabulary:
    """Read the words; ValueError unless all are different.

    As a dictionary, a long word that fills the file a million times takes its memory once.
    """
    read = pq.read_table(path, columns=["word"], read_dictionary=["word"])["word"]
    words = read.unify_dictionaries().combine_chunks()
    if words.null_count or len(words.dictionary) < len(words):
        raise ValueError(f"{path.name}: a word is missing or occurs twice")
    return Vocabulary(words.cast(pa.string()))


def _shape(weight: tuple[str | int, ...] | None) -> str:
    return f"{weight[0]} {list(weight[1:])}" if weight else "missing"


def _read_config(path: Path) -> BundleConfig:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    if content.get("format") != FORMAT:
        raise ModelError(
            f"{path}: bundle format {content.get('format')}, but this version reads {FORMAT}. "
            "Train the model again."
        )
    content.pop("early_exit", None)  # of an unreleased revision; such a model cannot score fast
    try:
        return BundleConfig.model_validate(content)
    except ValidationError as error:
        unknown = {"extra_forbidden": "unknown setting"}
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {unknown.get(fault['type'], fault['msg'])}"
            for fault in error.errors()
        ]
        raise ValueError(f"{path.name}: {'; '.join(faults)}") from error


def save_bundle(
    folder: Path,
    config: BundleConfig,
    vocabulary: Path,
    model: SentimentLSTM,
    profile: Profile | None = None,
) -> None:
    """Write weights, settings, a copy of the vocabulary, the profile and their checksums."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    # Only settings that shape the model: how often a checkpoint is written must change no byte.
    text = json.dumps(config.output_settings(), indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(vocabulary, folder / VOCABULARY)
    if profile is not None:
        (folder / PROFILE).write_text(profile.model_dump_json() + "\n", encoding="utf-8")
    write_checksums(folder)

"""A model bundle: one folder with all that is needed to score a text.

``model.safetensors`` holds the weights, ``config.json`` the settings, ``vocabulary.parquet`` the
words, ``profile.json`` what the training reviews were like (older bundles lack it),
``history.parquet`` how training went. Nothing in it is code or a pickle.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sentiment.errors import DataError, ModelError
from sentiment.model.config import TrainConfig
from sentiment.model.lstm import SentimentLSTM
from sentiment.model.profile import Profile
from sentiment.settings import Settings
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import TensorsConfig
from sentiment.text.vocabulary import Vocabulary

FORMAT = 2
WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.parquet"
PROFILE = "profile.json"

CARD = "README.md"  # of a bundle in a storage folder; written anew once it is measured


class BundleConfig(Settings):
    """The content of ``config.json``: how texts become ids, and the recipe of the model."""

    format: int = FORMAT
    tokenize: TokenizeConfig
    tensors: TensorsConfig
    train: TrainConfig


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory."""

    config: BundleConfig
    vocabulary: Vocabulary
    model: SentimentLSTM
    profile: Profile | None = None

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read a bundle; ModelError says what is missing or does not fit."""
        missing = [name for name in (WEIGHTS, CONFIG, VOCABULARY) if not (folder / name).is_file()]
        if missing:
            raise ModelError(
                f"{folder}: no model bundle, {' and '.join(missing)} missing. "
                "Train one with `sentiment run`."
            )
        try:
            content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError(f"{CONFIG} holds no JSON object")
            if content.get("format") != FORMAT:
                raise ModelError(
                    f"{folder / CONFIG}: bundle format {content.get('format')}, this version reads "
                    f"{FORMAT}. Train the model again."
                )
            config = BundleConfig.model_validate(content)
            vocabulary = Vocabulary.load(folder / VOCABULARY)
            model = SentimentLSTM(config.train.model, len(vocabulary))
            model.load_state_dict(load_file(folder / WEIGHTS))
            written = (folder / PROFILE).read_bytes() if (folder / PROFILE).exists() else None
            profile = Profile.model_validate_json(written) if written is not None else None
        except (DataError, ValueError, SafetensorError, RuntimeError, OSError) as error:
            raise ModelError(
                f"{folder}: damaged model bundle ({error}). Train the model again."
            ) from error
        return cls(config, vocabulary, model.eval(), profile)


def digest_bundle(folder: Path) -> str:
    """Return the sha256 of what decides a text's probability, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, CONFIG, VOCABULARY):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def save_bundle(
    folder: Path,
    config: BundleConfig,
    vocabulary: Path,
    model: SentimentLSTM,
    profile: Profile | None = None,
) -> None:
    """Write weights, settings, a copy of the vocabulary and the profile into ``folder``."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    # Only what shapes the model: how often a checkpoint was written must not change a byte.
    text = json.dumps(config.shaping(), indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(vocabulary, folder / VOCABULARY)
    if profile is not None:
        (folder / PROFILE).write_text(profile.model_dump_json() + "\n", encoding="utf-8")

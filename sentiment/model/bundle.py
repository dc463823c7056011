"""A model bundle: a folder with everything needed to score a text.

``model.safetensors`` holds the weights, ``config.json`` the settings, ``vocabulary.parquet`` the
words, ``profile.json`` what the training reviews were like (older bundles lack it),
``history.parquet`` the training history. Nothing in it is code or a pickle.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
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

FORMAT = 3
WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.parquet"
PROFILE = "profile.json"

CARD = "README.md"  # of a bundle in a storage folder; rewritten once the model is measured


class BundleConfig(Settings):
    """The content of ``config.json``: how texts become ids, and how the model was trained."""

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
        """Read a bundle; raise ModelError if it is missing, damaged or of another version."""
        missing = [name for name in (WEIGHTS, CONFIG, VOCABULARY) if not (folder / name).is_file()]
        if missing:
            raise ModelError(
                f"{folder}: not a model bundle, {' and '.join(missing)} missing. "
                "Train one with `sentiment run`."
            )
        try:
            config = _read_config(folder / CONFIG)
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


def _read_config(path: Path) -> BundleConfig:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    if content.get("format") != FORMAT:
        raise ModelError(
            f"{path}: bundle format {content.get('format')}, but this version reads {FORMAT}. "
            "Train the model again."
        )
    try:
        return BundleConfig.model_validate(content)
    except ValidationError as error:
        unknown = {"extra_forbidden": "unknown setting"}
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {unknown.get(fault['type'], fault['msg'])}"
            for fault in error.errors()
        ]
        raise ValueError(f"{path.name}: {'; '.join(faults)}") from error


def digest_bundle(folder: Path) -> str:
    """Return the sha256, in hexadecimal, of the files that determine a text's probability."""
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
    # Only settings that shape the model: how often a checkpoint is written must change no byte.
    text = json.dumps(config.output_settings(), indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(vocabulary, folder / VOCABULARY)
    if profile is not None:
        (folder / PROFILE).write_text(profile.model_dump_json() + "\n", encoding="utf-8")

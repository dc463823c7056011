"""The project's own exceptions.

A message says what is wrong, where, and what to do next. The command line prints it without a
traceback, unless ``--debug`` is given.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class SentimentError(Exception):
    """Base class of all others.

    ``attachment`` is a file that helps to understand the failure, such as the rejected rows.
    """

    attachment: Path | None = None


class ConfigError(SentimentError):
    """A preset, an option or an override is invalid."""


class DataError(SentimentError):
    """The reviews cannot be used."""


class ArchiveError(DataError):
    """A compressed file is truncated, corrupt or not in the format that its name says."""


class RejectRateError(DataError):
    """More rows cannot be used than a setting allows, or their labels are in doubt."""


class DownloadError(SentimentError):
    """The reviews cannot be downloaded."""


class StorageError(SentimentError):
    """The storage folder cannot be read or written."""


class StageError(SentimentError):
    """A stage failed, or cannot run because something is missing."""


class ModelError(SentimentError):
    """A model bundle is missing, damaged or of another version."""


class GateError(SentimentError):
    """A model failed a quality gate.

    ``accept`` holds the settings, such as ``train.max_loss=null``, with which the same run accepts
    the model, ``result`` what came of the run so far.
    """

    accept: tuple[str, ...] = ()
    result: Mapping[str, Any] | None = None


class TrainingError(SentimentError):
    """Training cannot start, or failed."""


class ServiceError(SentimentError):
    """The Prefect server or a worker fails to start, respond or carry out a request."""

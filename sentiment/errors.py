"""Every error that this project raises on purpose, as one tree.

A message says what is wrong, where, and what to do next. The command line prints it without a
traceback (``--debug`` shows one).
"""

from pathlib import Path


class SentimentError(Exception):
    """The root: catch this to catch everything the project raises on purpose.

    ``evidence`` names a file worth keeping for whoever looks into the failure, such as the
    rejected lines of a run that had too many of them.
    """

    evidence: Path | None = None


class ConfigError(SentimentError):
    """A preset, an option or an override is wrong."""


class DataError(SentimentError):
    """The reviews cannot be used as they are."""


class ArchiveError(DataError):
    """A compressed file is truncated, corrupt or of another format than its name says."""


class RejectRateError(DataError):
    """More lines were rejected than ``ingest.max_reject_rate`` allows."""


class DownloadError(SentimentError):
    """The reviews cannot be fetched."""


class StorageError(SentimentError):
    """The storage folder cannot be read or written."""


class StageError(SentimentError):
    """A stage cannot run: what it needs is missing or it failed."""


class ModelError(SentimentError):
    """A model bundle is missing, damaged or of another version."""


class GateError(SentimentError):
    """A model did not reach a figure that the settings ask for."""


class TrainingError(SentimentError):
    """Training cannot start or did not go well."""


class ServiceError(SentimentError):
    """The Prefect server or a worker does not start, answer or do as it is told."""

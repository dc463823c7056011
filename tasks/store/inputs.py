"""Input files from outside the store, which others may write while a stage reads them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiment.errors import DataError
from sentiment.files import file_state, is_in_state
from tasks.manifest import Artifact, digest_file


@contextmanager
def unchanged(inputs: Iterable[Artifact]) -> Iterator[None]:
    """Raise DataError at the end of the block unless it read what the inputs' digests are of.

    The digests are older than the block. Where a file's time is not that of its digest, its content
    is read once more.
    """
    files = {Path(artifact.path): artifact for artifact in inputs if artifact.stage is None}
    before = {path: file_state(path) for path in files}
    yield
    for path, artifact in files.items():
        recorded = (artifact.size, artifact.mtime_ns)
        if not is_in_state(path, before[path]) or (
            before[path][:2] != recorded and digest_file(path) != artifact.sha256
        ):
            raise DataError(
                f"{path}: changed while it was read. Run the same command again when the file is "
                "complete."
            )

"""The inputs of a request: that a stage read what their digests say."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiment.errors import DataError, StorageError
from sentiment.files import digest_file, file_state, is_in_state
from tasks.manifest import Artifact

DIGESTS = "digests.json"  # of input files, by path and state


@contextmanager
def checked(inputs: Iterable[Artifact], root: Path) -> Iterator[None]:
    """Raise DataError or StorageError unless the block reads what the inputs' digests are of.

    Their content is compared before the block. At its end they must be as they were then: others
    may write a review file, or replace a stored one, while it is read.
    """
    files = {artifact.local(root): artifact for artifact in inputs}
    before = {}
    for path, artifact in files.items():
        before[path] = file_state(path)
        if digest_file(path) != artifact.sha256:
            raise _changed(artifact, root)
    yield
    for path, artifact in files.items():
        if not is_in_state(path, before[path]) and (
            artifact.stage is None or digest_file(path) != artifact.sha256
        ):
            raise _changed(artifact, root)


def _changed(artifact: Artifact, root: Path) -> DataError | StorageError:
    if artifact.stage is None:
        (root / DIGESTS).unlink(missing_ok=True)  # in case that its digest there is what is wrong
        return DataError(
            f"{artifact.path}: changed while it was read. Run the same command again when the file "
            "is complete."
        )
    return StorageError(
        f"{root / artifact.path}: damaged since it was written. Run the same command again with "
        "--verify, which finds all that is damaged and makes it again."
    )

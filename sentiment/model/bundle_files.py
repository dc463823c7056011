"""The files of a model bundle, and their checksums.

``SHA256SUMS`` is in the format of ``sha256sum -c``. Its own sha256 is the bundle's digest, which
names a model everywhere: as champion, in scores, in exports and in ``sentiment models list``.
"""

import hashlib
from pathlib import Path

from sentiment.errors import ModelError

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.parquet"
PROFILE = "profile.json"  # optional
SUMS = "SHA256SUMS"
CARD = "README.md"  # of a bundle in a storage folder; rewritten once the model is measured
REQUIRED = (WEIGHTS, CONFIG, VOCABULARY, SUMS)


def write_checksums(folder: Path) -> None:
    """Write the checksums of a bundle's other files."""
    names = [name for name in (WEIGHTS, CONFIG, VOCABULARY, PROFILE) if (folder / name).exists()]
    lines = [f"{_digest(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def bundle_digest(folder: Path) -> str:
    """Return a bundle's digest without reading its other files; OSError if it has none."""
    return _digest(folder / SUMS)


def check_bundle(folder: Path) -> str:
    """Compare a bundle's files with their checksums; return the bundle's digest.

    Raises ModelError if a file is missing or is not the one that was written.
    """
    if missing := [name for name in REQUIRED if not (folder / name).is_file()]:
        raise ModelError(
            f"{folder}: not a model bundle, {' and '.join(missing)} missing. "
            "Train one with `sentiment run`."
        )
    lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    written = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    profile = (folder / PROFILE).exists() or PROFILE in written
    for name in (WEIGHTS, CONFIG, VOCABULARY, *([PROFILE] if profile else [])):
        path = folder / name
        if not path.is_file() or _digest(path) != written.get(name):
            raise ModelError(
                f"{folder}: damaged model bundle ({name} is not the file that {SUMS} names). "
                "Copy the bundle again, or train the model again."
            )
    return bundle_digest(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The files of a model bundle, and their checksums.

``SHA256SUMS`` is in the format of ``sha256sum -c``. Its own sha256 is the bundle's digest, which
names a model everywhere: as champion, in scores, in exports and in ``sentiment models list``.
"""

from pathlib import Path

from sentiment.errors import ModelError
from sentiment.files import digest_file

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.parquet"
PROFILE = "profile.json"  # optional
SUMS = "SHA256SUMS"
CARD = "README.md"  # of a bundle in a storage folder; rewritten once the model is measured
REQUIRED = (WEIGHTS, CONFIG, VOCABULARY, SUMS)


def write_checksums(folder: Path) -> None:
    """Write the checksums of a bundle's other files."""
    (folder / SUMS).write_text("".join(_lines(folder).values()), encoding="utf-8")


def bundle_digest(folder: Path) -> str:
    """Return a bundle's digest without reading its other files; OSError if it has none."""
    return digest_file(folder / SUMS)


def check_bundle(folder: Path) -> str:
    """Compare a bundle's files with their checksums; return the bundle's digest.

    Raises ModelError if a file is missing or is not the one that was written.
    """
    if missing := [name for name in REQUIRED if not (folder / name).is_file()]:
        raise ModelError(
            f"{folder}: not a model bundle, {' and '.join(missing)} missing. "
            "Train one with `sentiment run`."
        )
    written = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
    lines = _lines(folder)
    if "".join(lines.values()) != written:
        changed = next((name for name, line in lines.items() if line not in written), "a file")
        raise ModelError(
            f"{folder}: damaged model bundle ({changed} is not what {SUMS} says). Copy the bundle "
            "again, or make it again: run the same command as then with --verify."
        )
    return bundle_digest(folder)


def _lines(folder: Path) -> dict[str, str]:
    """Return the lines of a bundle's checksums, by file."""
    names = [n for n in (CONFIG, WEIGHTS, PROFILE, VOCABULARY) if (folder / n).is_file()]
    return {name: f"{digest_file(folder / name)}  {name}\n" for name in names}

"""Where data and results are: a folder, or remote storage, which a URL names."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from sentiment.errors import ConfigError

SCHEMES = ("s3", "gs", "az")


def is_url(place: str | Path) -> bool:
    """Return whether a place is a URL. Raises ConfigError for one that cannot be used."""
    text = str(place)
    scheme, separator, _ = text.partition("://")
    if not separator:
        # What was made a Path on the way has lost a slash.
        if re.match(rf"({'|'.join(SCHEMES)}):", text):
            raise ConfigError(f"{text}: a URL has two slashes, such as s3://bucket/folder.")
        return False
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigError(f"{scheme}://: not supported. Use a folder, or a URL of {known}.")
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:  # it may hold a secret: not repeated
        raise ConfigError(
            f"A {scheme}:// URL is a bucket and a folder in it, and nothing else. Credentials "
            "belong in the environment: see docs/scale.md."
        )
    if not parts.netloc:
        raise ConfigError(f"{text}: names no bucket. Write {scheme}://bucket/folder.")
    return True


def resolved(place: str | Path) -> str:
    """Return a folder's or file's full path, or a URL without a slash at its end.

    A link to a file keeps its name, which says what the file holds.
    """
    if is_url(place):
        return str(place).rstrip("/")
    path = Path(place)
    return str(path.parent.resolve() / path.name if path.is_file() else path.resolve())


def cache_folder(url: str) -> Path:
    """Return the folder of this machine that is the cache of remote storage.

    It is in SENTIMENT_CACHE, or else ``~/.cache/sentiment``.
    """
    given = os.environ.get("SENTIMENT_CACHE")
    base = Path(given) if given else Path.home() / ".cache" / "sentiment"
    readable = re.sub(r"[^\w.-]+", "-", url)[:60]
    return base / f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"

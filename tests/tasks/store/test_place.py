"""Places: folders and URLs are told apart, and what is neither is refused."""

from pathlib import Path

import pytest

from sentiment.errors import ConfigError
from tasks.store.place import cache_folder, is_url, resolved


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/b", "gs://bucket/a", "az://box/a/"])
def test_a_url(url: str) -> None:
    assert is_url(url)
    assert resolved(url) == url.rstrip("/")


@pytest.mark.parametrize("folder", ["storage", "/data/storage", "a:b", "c:/data", "s3"])
def test_a_folder(folder: str) -> None:
    assert not is_url(folder)
    assert not is_url(Path(folder))
    assert resolved(folder) == str(Path(folder).resolve())


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (
            "http://host/a",
            r"http://: not supported\. Use a folder, or a URL of s3://, gs://, az://",
        ),
        ("S3://bucket", "S3://: not supported"),
        ("file:///tmp", "file://: not supported"),
        ("s3:/bucket/a", "two slashes"),
        ("s3://", "names no bucket"),
        ("s3:///a", "names no bucket"),
    ],
)
def test_what_cannot_be_used_is_refused(place: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        is_url(place)


@pytest.mark.parametrize("place", ["s3://me:hush@bucket/a", "az://box/a?sig=hush", "s3://b/a#hush"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(place: str) -> None:
    with pytest.raises(ConfigError, match="Credentials belong in the environment") as caught:
        is_url(place)
    assert "hush" not in str(caught.value)


def test_each_url_has_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTIMENT_CACHE", str(tmp_path))
    one, other = cache_folder("s3://bucket/a-b"), cache_folder("s3://bucket/a/b")
    assert one != other
    assert one.parent == other.parent == tmp_path
    monkeypatch.delenv("SENTIMENT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("s3://bucket").parent == tmp_path / ".cache" / "sentiment"

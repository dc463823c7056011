"""Where to download the Amazon polarity reviews: Kaggle and Hugging Face."""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from sentiment.errors import DownloadError


@dataclass(frozen=True)
class RemoteFile:
    """A file to download; its size in bytes and its sha256 where the hub lists them."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Hub:
    """A site with the reviews: the data set's page, authentication, and its files.

    ``access`` tells the user what to do when the site refuses access.
    """

    name: str
    page: str
    access: str
    auth: httpx.Auth | None
    list_files: Callable[[httpx.Client], list[RemoteFile]]


class Token(httpx.Auth):
    """Bearer token authentication."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


KAGGLE = "bittlingmayer/amazonreviews"
KAGGLE_FILES = ("train.ft.txt.bz2", "test.ft.txt.bz2")


def kaggle(environment: Mapping[str, str]) -> Hub:
    """Return Kaggle, with the user's credentials if there are any; public data needs none.

    They come from the environment, or else from the site's ``kaggle.json`` in
    ``KAGGLE_CONFIG_DIR`` or ``~/.kaggle``. Raises DownloadError if that file is damaged.
    """
    base = environment.get("KAGGLE_API_ENDPOINT", "https://www.kaggle.com").rstrip("/")
    url = f"{base}/api/v1/datasets/download/{KAGGLE}?file_name="
    files = [RemoteFile(name, f"{url}{name}") for name in KAGGLE_FILES]
    return Hub(
        name="Kaggle",
        page=f"https://www.kaggle.com/datasets/{KAGGLE}",
        access="Create a token at https://www.kaggle.com/settings (section API) and set "
        "KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN, or save it as ~/.kaggle/kaggle.json.",
        auth=_kaggle_auth(environment),
        list_files=lambda client: files,
    )


def _kaggle_auth(environment: Mapping[str, str]) -> httpx.Auth | None:
    user, key = environment.get("KAGGLE_USERNAME"), environment.get("KAGGLE_KEY")
    if user and key:
        return httpx.BasicAuth(user, key)
    if token := environment.get("KAGGLE_API_TOKEN"):
        return Token(token)
    file = Path(environment.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle") / "kaggle.json"
    try:
        content = json.loads(file.read_bytes())
        return httpx.BasicAuth(content["username"], content["key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise DownloadError(
            f"{file}: no Kaggle credentials (username and key, as JSON). Download it again from "
            "https://www.kaggle.com/settings (section API), or remove it."
        ) from None  # the original error might hold the key


HUGGING_FACE = "fancyzhx/amazon_polarity"
REVISION = "9d9c45c18f8c3cf1b23a3c27917b60cbf28f3289"  # pinned, so that the bytes never change


def hugging_face(environment: Mapping[str, str]) -> Hub:
    """Return Hugging Face, with the user's token if there is one; public data needs none.

    It comes from the environment, or else from ``hf auth login``, in ``HF_HOME`` or
    ``~/.cache/huggingface``.
    """
    base = environment.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    token = environment.get("HF_TOKEN") or _saved_token(environment)

    def list_files(client: httpx.Client) -> list[RemoteFile]:
        url = f"{base}/api/datasets/{HUGGING_FACE}/tree/{REVISION}?recursive=true"
        response = client.get(url)
        response.raise_for_status()
        try:
            found = [
                RemoteFile(
                    name=PurePosixPath(entry["path"]).name,
                    url=f"{base}/datasets/{HUGGING_FACE}/resolve/{REVISION}/{entry['path']}",
                    size=entry["size"],
                    sha256=entry["lfs"]["oid"].removeprefix("sha256:"),
                )
                for entry in response.json()
                if entry["path"].endswith(".parquet")
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DownloadError(f"{url}: not the expected list of files ({error!r}).") from error
        if not found:
            raise DownloadError(f"{url}: lists no Parquet file.")
        return found

    return Hub(
        name="Hugging Face",
        page=f"https://huggingface.co/datasets/{HUGGING_FACE}",
        access="Create a token at https://huggingface.co/settings/tokens and set HF_TOKEN.",
        auth=Token(token) if token else None,
        list_files=list_files,
    )


def _saved_token(environment: Mapping[str, str]) -> str | None:
    home = environment.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    try:
        return (Path(home) / "token").read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None

"""Where the Amazon polarity reviews lie: their files on Kaggle and on Hugging Face."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import httpx

from sentiment.errors import DownloadError


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch; its size in bytes and its sha256 where the hub lists them."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Hub:
    """A site with the reviews: the data set's page, how to prove who one is, its files.

    ``access`` tells what to do when the site refuses.
    """

    name: str
    page: str
    access: str
    auth: httpx.Auth | None
    list_files: Callable[[httpx.Client], list[RemoteFile]]


class Token(httpx.Auth):
    """Sends a token as a bearer."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


KAGGLE = "bittlingmayer/amazonreviews"
KAGGLE_FILES = ("train.ft.txt.bz2", "test.ft.txt.bz2")


def kaggle(environment: Mapping[str, str]) -> Hub:
    """Return Kaggle with the credentials of the environment; public data needs none."""
    base = environment.get("KAGGLE_API_ENDPOINT", "https://www.kaggle.com").rstrip("/")
    url = f"{base}/api/v1/datasets/download/{KAGGLE}?file_name="
    files = [RemoteFile(name, f"{url}{name}") for name in KAGGLE_FILES]
    user, key = environment.get("KAGGLE_USERNAME"), environment.get("KAGGLE_KEY")
    token = environment.get("KAGGLE_API_TOKEN")
    auth = httpx.BasicAuth(user, key) if user and key else Token(token) if token else None
    return Hub(
        name="Kaggle",
        page=f"https://www.kaggle.com/datasets/{KAGGLE}",
        access="Make a token at https://www.kaggle.com/settings (section API) and set "
        "KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN.",
        auth=auth,
        list_files=lambda client: files,
    )


HUGGING_FACE = "fancyzhx/amazon_polarity"
REVISION = "9d9c45c18f8c3cf1b23a3c27917b60cbf28f3289"  # one commit: always the same bytes


def hugging_face(environment: Mapping[str, str]) -> Hub:
    """Return Hugging Face's hub with the token of the environment; public data needs none."""
    base = environment.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    token = environment.get("HF_TOKEN")

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
            raise DownloadError(f"{url}: not the list of files expected ({error!r}).") from error
        if not found:
            raise DownloadError(f"{url}: lists no Parquet file.")
        return found

    return Hub(
        name="Hugging Face",
        page=f"https://huggingface.co/datasets/{HUGGING_FACE}",
        access="Make a token at https://huggingface.co/settings/tokens and set HF_TOKEN.",
        auth=Token(token) if token else None,
        list_files=list_files,
    )

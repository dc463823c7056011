"""``sentiment doctor``: check the installation."""

import importlib.metadata
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from flows.cli.options import DEFAULT_STORAGE, Json, Storage, show
from sentiment.errors import SentimentError

MOST_APART = 60.0  # seconds between the storage's clock and this one; S3 refuses 15 minutes
LIBRARIES = ("torch", "numpy", "pyarrow", "pandas", "nltk", "prefect", "fastapi")


class Check(NamedTuple):
    """One thing checked: its name, whether it passed, and what was found."""

    name: str
    ok: bool
    found: str


def doctor(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Check libraries, device, NLTK data, storage and Prefect server; change nothing.

    In remote storage, an object is written, read and removed again.
    """
    checks = run_checks(storage)
    if as_json:
        sys.stdout.write(json.dumps([check._asdict() for check in checks]) + "\n")
    else:
        show(checks_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def run_checks(storage: str) -> list[Check]:
    """Check everything that a run needs."""
    return [
        Check("python", sys.version_info >= (3, 11), sys.version.split()[0]),
        *(library(name) for name in LIBRARIES),
        device(),
        sentences(),
        storage_at(storage),
        server(),
    ]


def library(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed: pip install -c constraints.txt -e .")


def device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", True, f"cuda: {torch.cuda.get_device_name()}")
    return Check("device", True, f"cpu, {torch.get_num_threads()} threads (no CUDA GPU seen)")


def sentences() -> Check:
    from sentiment.text.nltk_words import word_tokenize

    words = word_tokenize("It didn't work. Mr. Smith sent it back.")
    expected = ["It", "did", "n't", "work", ".", "Mr.", "Smith", "sent", "it", "back", "."]
    found = "English sentence data, offline" if words == expected else f"unexpected: {words}"
    return Check("nltk data", words == expected, found)


def storage_at(place: str) -> Check:
    """Check whether a run could use a storage: a folder, or a URL with its rights and its clock."""
    from tasks.store.objects import Objects
    from tasks.store.place import is_url, resolved

    try:
        if not is_url(place):
            return writable(Path(place))
        url = resolved(place)
        when = Objects(url).probe()
    except SentimentError as error:
        return Check("storage", False, str(error))
    apart = abs((datetime.now(UTC) - when).total_seconds())
    if apart > MOST_APART:
        told = f"{url}: its clock and this machine's are {apart:,.0f} s apart."
        return Check("storage", False, f"{told} Correct this machine's clock.")
    return Check("storage", True, f"{url}: read, write, list, delete, conditional writes")


def writable(storage: Path) -> Check:
    """Check whether a run could write to the storage folder, or create it; creates nothing."""
    folder = storage.resolve()
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not existing.is_dir():
        return Check("storage", False, f"{existing} is not a folder. Choose another --storage.")
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        return Check("storage", False, f"{existing} cannot be written. Choose another --storage.")
    new = "" if existing == folder else f" (a run creates it in {existing})"
    return Check("storage", True, f"{folder}{new}")


def server() -> Check:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Check("prefect api", True, "each run starts its own (PREFECT_API_URL is not set)")
    import httpx

    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=5).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Check("prefect api", False, f"{url} does not answer ({error}). Start the server.")
    return Check("prefect api", True, url)


def checks_table(checks: list[Check]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark = Text("ok", style="green") if check.ok else Text("no", style="red")
        table.add_row(mark, check.name, check.found)
    return table

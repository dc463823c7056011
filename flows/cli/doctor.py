"""``sentiment doctor``."""

import json
import sys

import typer

from flows.cli.options import DEFAULT_STORAGE, Json, Storage, output


def doctor(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Check the installation: libraries, device, NLTK's data, storage, Prefect's server."""
    from flows.cli.checks import checks_table, run_checks

    checks = run_checks(storage)
    if as_json:
        sys.stdout.write(json.dumps([check._asdict() for check in checks]) + "\n")
    else:
        output.print(checks_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)

"""``sentiment settings``."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from flows.cli.options import WIDEST, Json, output
from sentiment.errors import ConfigError


def settings(
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="A setting or section, such as train or train.epochs."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Show the values of this preset, and the defaults it changes."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/settings.md.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the settings of a run: values, limits and what they are for."""
    from flows.config.presets import load_config
    from flows.config.reference import lines, page, settings_of, under

    if markdown:
        if key or preset or as_json:
            raise ConfigError("--markdown prints the whole page: leave out the rest.")
        sys.stdout.write(page())
        return
    found = settings_of(load_config(preset) if preset else None)
    if key:
        found = under(found, key.strip().strip("."))
    if as_json:
        sys.stdout.write(json.dumps({"settings": [asdict(each) for each in found]}) + "\n")
        return
    for path, (first, *rest) in lines(found, min(output.width, WIDEST)):
        output.print(Text.assemble((path, "bold"), first))
        for line in rest:
            output.print(line)

"""The HTML pages, which share a look and a policy: the template ``page.html.j2``."""

from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

PAGE = Path(__file__).parent / "templates" / "page.html.j2"
PARTS = Path(__file__).parent / "templates" / "parts.html.j2"


def render_page(template: str, **values: Any) -> str:
    """Fill in the text of a template, which may extend the page and import its parts.

    Every value is escaped, and none may be missing.
    """
    shared = {
        "page.html.j2": PAGE.read_text(encoding="utf-8"),
        "parts.html.j2": PARTS.read_text(encoding="utf-8"),
    }
    environment = Environment(
        loader=DictLoader(shared),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(template).render(values)

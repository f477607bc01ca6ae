"""The template engine of all pages: escapes what comes from outside, formats numbers one way."""

from __future__ import annotations

from typing import Any

from mlimages.errors import require

UNKNOWN = "n/a"


def page_environment(package: str = "mlimages.pages") -> Any:
    """A jinja2 environment over the templates of a package, and over the shared ones.

    Every value is escaped; a name that a template does not know is an error.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="report")
    packages = dict.fromkeys([package, "mlimages.pages"])
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "templates") for name in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=lambda value: f"{value:,}",
        decimal=lambda value, digits=2: UNKNOWN if value is None else f"{value:,.{digits}f}",
        percent=format_percent,
        first_name=lambda name: name.split(",")[0],
    )
    return environment


def format_percent(share: float | None, digits: int = 0) -> str:
    """A share as a percentage."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"

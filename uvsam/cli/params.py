"""What words of a command line can name, and how a shell completes them."""

import datetime
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


class ImageName(click.ParamType):
    """A raster or a STAC item: a file or an address, so that nothing is known of it before it is opened."""

    name = "image"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class ModelName(click.ParamType):
    """A model of the catalogue, or the path of a card."""

    name = "name|card"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from uvsam.catalog.cards import catalog_folder

        names = sorted(path.stem for path in catalog_folder().glob(f"{Path(incomplete).name}*.yaml"))
        if not names or Path(incomplete).name != incomplete:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(name) for name in names]


class PastDay(click.ParamType):
    """A day that has been, as :mod:`uvsam.dates` reads them; of a year that is not over, its middle may be to come."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime.date:
        from uvsam.dates import NoDay, parse_day

        try:
            day = parse_day(value)
        except NoDay as error:
            self.fail(str(error), param, ctx)
        if day > datetime.date.today():
            self.fail(f"{value} is in the future", param, ctx)
        return day

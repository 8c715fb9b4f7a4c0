"""What words of a command line can name, and how a shell completes them."""

from pathlib import Path

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

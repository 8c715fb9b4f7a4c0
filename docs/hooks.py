"""Pages of the site that are made of the package itself when the site is built, so that nothing is copied by hand."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from pydantic import BaseModel

from uvsam.catalog import GeneralistCard, ModelCard, list_cards, load_any_card
from uvsam.cli.commands import CONFIG, MANNERS
from uvsam.cli.main import cli
from uvsam.settings import PredictSettings

SHIM = "https://unpkg.com/iframe-worker/shim"
SEARCH = "assets/search_from_disk.js"
FROM_DISK = """const searchWorker = %s;
if (location.protocol === "file:") {
  const FileWorker = Worker;
  window.Worker = function () {
    return new FileWorker(URL.createObjectURL(new Blob([searchWorker], { type: "text/javascript" })));
  };
}
"""
ROLE = re.compile(r":(?:class|func|mod|data|meth):<code>~?([\w.]+)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    pages = {
        "models.md": models_page(),
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """References of docstrings, as in Sphinx, become plain names."""
    return ROLE.sub(lambda role: f"<code>{role[1].rpartition('.')[2]}</code>", html)


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    return output.replace(SHIM, get_relative_url(SEARCH, page.url))


def on_post_template(output_content: str, **_: Any) -> str:
    return output_content.replace(SHIM, f"/{SEARCH}")


def on_post_build(config: MkDocsConfig) -> None:
    """Let the search work from disk, where browsers start no worker from a file, without asking a network for help."""
    site = Path(config.site_dir)
    worker = next((site / "assets/javascripts/workers").glob("search.*.min.js")).read_text(encoding="utf-8")
    (site / SEARCH).write_text(FROM_DISK % json.dumps(worker), encoding="utf-8")


def models_page() -> str:
    """The cards of all models, those that are bundled first."""
    intro = (
        "# Models\n\nWhat each card says. `uvsam models show NAME` prints the same, `uvsam models fetch NAME` gets "
        "weights that are not bundled. Specialists find villages; generalists sharpen outlines; "
        "a UV-SAM model is both.\n"
    )
    names = [*list_cards("uvsam"), *list_cards(), *list_cards("generalist")]
    return "\n".join([intro, *(line for name in names for line in card_lines(load_any_card(name)))])


def card_lines(card: ModelCard | GeneralistCard) -> Iterator[str]:
    yield f"\n## {card.name}\n\n{card.summary}\n\n| | |\n|---|---|"
    if isinstance(card, GeneralistCard):
        yield f"| encoder | {card.encoder} |"
        yield f"| window | {card.window_m:g} m a side |"
    else:
        yield f"| network | {card.network.arch} over {card.network.encoder} |"
        yield f"| resolution | {card.gsd_m:g} m per pixel |"
        yield f"| threshold | {card.calibration.threshold:g}, seeds {card.calibration.seed_threshold:g} |"
        yield f"| outlines | from {card.outline.min_area_m2:g} m², lanes up to {card.outline.close_m:g} m bridged |"
    source = getattr(card, "source", None)
    weights = "bundled" if source is None else f"fetched from <{source.url}>, {source.bytes / 1e6:,.0f} MB"
    yield f"| weights | {weights} |"
    yield f"| licence | {card.licence} |"
    yield from _list("Trained on", card.trained_on)
    if card.quality:
        yield "\n**Measured**\n\n| measure | tested on | value |\n|---|---|---|"
        yield from (f"| {one.measure} | {one.tested_on} | {one.value:.3f} |" for one in card.quality)
    yield from _list("Limits", card.limits)


def _list(title: str, items: tuple[str, ...]) -> Iterator[str]:
    if items:
        yield f"\n**{title}**\n"
        yield from (f"- {item}" for item in items)


def commands_page() -> str:
    """What ``--help`` says, of all commands."""
    intro = (
        "# Commands\n\nWhat `--help` says. What all commands have in common (`--json`, `--config`, exit statuses, "
        "completion) is on [The command line](../command_line.md).\n"
    )
    top = click.Context(cli, info_name="uvsam", **cli.context_settings)
    return "\n".join([intro, *command_lines(cli, top)])


def command_lines(command: click.Command, context: click.Context) -> Iterator[str]:
    """A command and those below it."""
    if command is not cli:
        yield f"\n{'##' if context.parent and context.parent.command is cli else '###'} {context.command_path}\n"
        yield f"\n```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
        yield _paragraphs(command.help or "")
        yield ""
        common = {id(param) for param in (*MANNERS, CONFIG)}
        options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
        own = [option for option in options if id(option) not in common and "--help" not in option.opts]
        records = [record for option in own if (record := option.get_help_record(context))]
        if records:
            yield "| option | what it does |\n|---|---|"
            yield from (f"| `{names}` | {text} |" for names, text in records)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from command_lines(found, click.Context(found, info_name=name, parent=context))


def _paragraphs(text: str) -> str:
    """Help as Markdown: what click is told not to wrap becomes a block, names of arguments stay."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_block(part.removeprefix("\b\n")) if part.startswith("\b\n") else part for part in parts)


def _block(text: str) -> str:
    title, _, lines = text.partition("\n")
    return f"{title}\n\n```sh\n{inspect.cleandoc(lines)}\n```"


def settings_page() -> str:
    """Every setting of a prediction, with what it takes and its default."""
    return (
        "# Settings\n\nOf a prediction in Python (`uvsam.settings.PredictSettings`); the command line has the same as "
        "options, see [Commands](commands.md), and a file of them is taken by `--config`, see "
        "[The command line](../command_line.md#options-in-a-file). Settings of training are explained in "
        "[Train on your labels](../train_on_your_labels.md). A setting without a default leaves its value to the card "
        "of the model or to the image.\n\n" + table(PredictSettings)
    )


def table(model: type[BaseModel]) -> str:
    """Fields of a model, as its docstring explains them."""
    text = " ".join((model.__doc__ or "").split("Attributes:")[1].split())
    parts = re.split(rf"\b((?:{'|'.join(model.model_fields)})(?:, \w+)*): ", text)
    meaning = dict(zip(parts[1::2], parts[2::2], strict=True))
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {'' if field.default is None else f'`{field.default}`'} "
        f"| {meaning.get(name, '').strip()} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| setting | takes | default | meaning |", "|---|---|---|---|", *rows])


def _type(annotation: Any) -> str:
    words = re.sub(r"<class '(?:\w+\.)*(\w+)'>|(?:\w+\.)+(\w+)", r"\1\2", str(annotation))
    choices = re.search(r"Literal\[(.*?)\]", words)
    return f"`{choices[1] if choices else words.replace(' | None', '')}`"

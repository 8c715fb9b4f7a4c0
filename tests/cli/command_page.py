"""What ``docs/command_line.md`` says of --json."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"


def documented(command: str) -> set[str]:
    """The names that a command's document has, as the page lists them."""
    section = PAGE.read_text(encoding="utf-8").split(f"### `uvsam {command}`\n")[1].split("\n##")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}

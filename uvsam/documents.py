"""Documents as people write them (YAML: what it holds, or one line that says where it is wrong), and as we may write
them (text without characters that XML and HTML do not have)."""

import codecs
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 16 << 20
MOST_VALUES = 100_000
"""A file of settings is smaller; one whose aliases repeat each other (a "billion laughs") is not."""

MOST_DIGITS = 100
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Section 2.2 of XML 1.0."""


class DocumentError(ValueError):
    """A file that is no YAML, or says something that cannot be."""


class Loader(yaml.SafeLoader):
    """YAML's plain values. A day stays the text that it is, to be read where it is known to be one."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping in which no name stands twice: one of both would be lost without a word."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' stands there twice", key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        if len(node.value) > MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of more than {MOST_DIGITS} digits", node.start_mark
            )
        return super().construct_yaml_int(node)


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)


def read_yaml(path: Path) -> Any:
    """What a YAML file says.

    Raises:
        DocumentError: it is not YAML, or too large; the message names file and line.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except ValueError as error:  # a NUL character in the name
        raise DocumentError(f"{str(path)!r} is no name of a file") from error
    if len(content) > MOST_BYTES:
        raise DocumentError(f"{path} is too large for a YAML file of settings")
    try:
        return _parsed(_text(content))
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path} is not a YAML file: it is no text in UTF-8; save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise DocumentError(f"{path} is not a YAML file{_where(error)}") from error
    except RecursionError as error:
        raise DocumentError(f"{path} is not a YAML file of settings: it is nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise DocumentError(f"{path} has a value that cannot be: {error}") from error


def well_formed(text: str) -> str:
    """Text in which a character that XML 1.0 cannot hold, as the control characters of a name, is a replacement."""
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(content: bytes) -> str:
    """The text of a file; editors of Windows put marks in front of it."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def _parsed(text: str) -> Any:
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for, its aliases written out."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_VALUES + 1  # while it is counted: a node inside of itself has no end
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    else:
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
    size = 1 + sum(_size(part, known) for part in parts)
    known[id(node)] = size
    return size


def _where(error: yaml.YAMLError) -> str:
    """Line and reason, in words."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return f": {' '.join(str(error).split())}"
    if problem and "'\\t'" in problem:
        problem = "a tab where spaces have to be"
    return f" (line {mark.line + 1}{f': {problem}' if problem else ''})"

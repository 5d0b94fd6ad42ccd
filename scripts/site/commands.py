"""The reference of the command line, from its parsers."""

import argparse
from collections.abc import Iterator

from app.__main__ import parser as server_parser
from core.__main__ import parser as core_parser

_HEAD = """# Command line

This page is made from the code: `python -m core COMMAND --help` says the same. Run the commands in
HippoView's folder with its Python, `.venv/bin/python`. A command ends with 0 if all was done, with
1 if something was not (its error is printed with its [code](../errors.md)), and with 2 if the call
was not understood. [Running HippoView](../operations.md) says which one when. Research software:
not for diagnosis.
"""


def parsers() -> Iterator[argparse.ArgumentParser]:
    """The parser of each command that does something, in the order in which they are listed."""
    yield server_parser()
    yield from _leaves(core_parser())


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        yield parser
    for group in inner:
        for each in group.choices.values():
            _tell(each, group)
            yield from _leaves(each)


def _tell(parser: argparse.ArgumentParser, group: "argparse._SubParsersAction") -> None:  # type: ignore[type-arg]
    """Give a command without a description the words of its list."""
    words = {a.dest: a.help or "" for a in group._choices_actions}
    name = parser.prog.rsplit(" ", 1)[1]
    parser.description = parser.description or words.get(name, "")


def page() -> str:
    """The page in Markdown."""
    return _HEAD + "".join(map(_section, parsers()))


def _section(parser: argparse.ArgumentParser) -> str:
    title = parser.prog.removeprefix("python -m ")
    words = (parser.description or "").strip()
    words = (words[:1].upper() + words[1:]).rstrip(".")
    rows = [
        f"| {_called(action)} | {_words(parser, action)} |"
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    table = "\n".join(["", "| argument | what |", "| --- | --- |", *rows, ""]) if rows else ""
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    return f"\n## {title}\n\n{words}.\n\n```\n{usage}\n```\n{table}"


def _called(action: argparse.Action) -> str:
    names = action.option_strings or [_placeholder(action)]
    takes = action.option_strings and action.nargs != 0
    value = f" {_placeholder(action)}" if takes else ""
    return ", ".join(f"`{name}{value}`" for name in names)


def _placeholder(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    return action.metavar or (action.dest.upper() if action.option_strings else action.dest)


def _words(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    said = []
    if action.help and action.help is not argparse.SUPPRESS:
        said.append(parser._get_formatter()._expand_help(action))
    if action.choices:
        said.append("one of " + ", ".join(f"`{choice}`" for choice in action.choices))
    is_plain = isinstance(action.default, str | int | float)
    if (
        is_plain
        and action.default not in ("", False, True)
        and "default" not in (action.help or "")
    ):
        said.append(f"default `{action.default}`")
    if action.required and action.option_strings:
        said.append("needed")
    return "; ".join(said).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

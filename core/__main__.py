"""``python -m core``: the command line."""

import argparse
import io
import sys
from importlib import import_module

from loguru import logger

from core.anatomy import NOTICE
from core.commands.installation import print_error
from core.errors import HippoViewError
from core.people.acting import SERVER, acting_as
from core.settings import Settings

# The module of core.commands that adds each command. Only the named one is imported: matplotlib and
# scipy.stats, which some need, take two seconds.
_MODULES = {
    "segment": "segment", "data": "data", "train": "train", "sweep": "train",
    "evaluate": "evaluate", "compare": "evaluate", "calibrate": "calibrate",
    "models": "models", "drift": "drift", "pacs": "pacs", "receive": "receive", "people": "people",
    "audit": "audit", "encryption": "encryption", "move-database": "move_database",
    "backup": "upkeep", "restore": "upkeep", "doctor": "upkeep", "worker": "worker",
}  # fmt: skip
# Commands that run for minutes or for ever: they log their progress.
_LONG = ("train", "sweep", "calibrate", "receive", "worker")


def parser(command: str = "") -> argparse.ArgumentParser:
    """The parser of all commands; where one is named, it knows only those of its module."""
    made = argparse.ArgumentParser(prog="python -m core", description=f"HippoView. {NOTICE}")
    named = _MODULES.get(command)
    commands = made.add_subparsers(
        dest="command", required=True, metavar="{" + ",".join(_MODULES) + "}" if named else None
    )
    for module in [named] if named else dict.fromkeys(_MODULES.values()):
        import_module(f"core.commands.{module}").add_commands(commands)
    return made


def main(arguments: list[str]) -> int:
    """Run a command.

    Returns
    -------
    int
        0: all done. 1: at least one file was not segmented. 2: the call was not understood.
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show (mm\u00b3 in the C locale) must not end a batch.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = parser(arguments[0] if arguments else "").parse_args(arguments)
    logger.remove()
    level = "INFO" if options.command in _LONG else "WARNING"
    logger.add(sys.stderr, level=level, format="{level}: {message}", diagnose=False)
    try:
        settings = getattr(options, "settings", Settings.from_environment)()
        with acting_as(SERVER):  # whoever has this command line has the data folder
            return int(options.run(options, settings))
    except HippoViewError as error:
        print_error(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

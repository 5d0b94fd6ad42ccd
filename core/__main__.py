"""``python -m core``: the command line."""

import argparse
import io
import sys

from loguru import logger

from core.anatomy import NOTICE
from core.commands.data import add_data
from core.commands.drift import add_drift
from core.commands.evaluate import add_evaluate
from core.commands.installation import print_error
from core.commands.models import add_models
from core.commands.segment import add_segment
from core.commands.train import add_train
from core.errors import HippoViewError
from core.settings import Settings

# Commands that run for minutes: they log their progress.
_LONG = ("train", "sweep")


def main(arguments: list[str]) -> int:
    """Run a command.

    Returns
    -------
    int
        0: all done. 1: at least one file was not segmented. 2: the call was not understood.
    """
    parser = argparse.ArgumentParser(prog="python -m core", description=f"HippoView. {NOTICE}")
    commands = parser.add_subparsers(dest="command", required=True)
    add_segment(commands)
    add_data(commands)
    add_train(commands)
    add_evaluate(commands)
    add_models(commands)
    add_drift(commands)
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show (mm\u00b3 in the C locale) must not end a batch.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = parser.parse_args(arguments)
    logger.remove()
    level = "INFO" if options.command in _LONG else "WARNING"
    logger.add(sys.stderr, level=level, format="{level}: {message}", diagnose=False)
    try:
        settings = Settings.from_environment()
        return int(options.run(options, settings))
    except HippoViewError as error:
        print_error(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``python -m app``: run the server."""

import argparse
import os
import sys

from loguru import logger

from core.cpus import limit_threads
from core.errors import HippoViewError, SettingsError
from core.people.kept import can_have_accounts, no_accounts
from core.settings import Settings, nearest_setting, unknown_variables, variable_of


def parser() -> argparse.ArgumentParser:
    """The parser of the server's command line."""
    made = argparse.ArgumentParser(prog="python -m app", description="Run HippoView.")
    made.add_argument("--port", type=int, help="default 8501, or HIPPOVIEW_PORT")
    made.add_argument("--address", help="default 127.0.0.1, or HIPPOVIEW_ADDRESS")
    return made


def main(arguments: list[str]) -> int:
    """The command line of the server."""
    for field, value in vars(parser().parse_args(arguments)).items():
        if value is not None:
            os.environ[variable_of(field)] = str(value)
    limit_threads()
    try:
        settings = Settings.from_environment()
        if settings.for_others and not can_have_accounts(settings):
            raise no_accounts(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error.message}. {error.hint}\n")
        return 2
    # Streamlit takes a second to import: a wrong setting is told before.
    from app import server
    from app.logs import set_up_log

    set_up_log(settings.log_level, settings.log)
    for variable in unknown_variables(os.environ):
        meant = nearest_setting(variable)
        logger.warning(
            "{} is not a setting of HippoView and was ignored{}",
            variable, f": did you mean {meant}?" if meant else "",
        )  # fmt: skip
    try:
        server.run(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error.message}. {error.hint}\n")
        return 2
    except HippoViewError as error:
        sys.stderr.write(f"{error.message}. {error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What is wrong with an installation, and what to do: one line for each check."""

from collections.abc import Iterator

from core.errors import HippoViewError, SettingsError
from core.settings import Settings
from core.upkeep.checked import Checked, wrong
from core.upkeep.of_machine import of_machine, variables
from core.upkeep.of_state import of_state


def examine() -> Iterator[Checked]:
    """Look at everything that the environment's settings name, and change nothing.

    A check that fails itself is a finding, and the others go on.
    """
    yield from variables()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        yield wrong("settings", error)
        settings = None
    else:
        yield Checked("settings", "ok", "each can be read")
    if settings is None:  # which folder and storage are meant is not known
        return
    for check in (of_machine, of_state):
        try:
            yield from check(settings)
        except HippoViewError as error:
            yield wrong(check.__name__.removeprefix("of_"), error)
        except OSError as error:
            words = f"It cannot be looked at: {error.strerror or type(error).__name__}"
            yield Checked(check.__name__.removeprefix("of_"), "wrong", words, "Grant access.")

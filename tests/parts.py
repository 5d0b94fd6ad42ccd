"""Parts of a page, run as Streamlit's own test runs them, without a server or a browser."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest


class Part:
    """A function that draws, with what it finds in the session's state."""

    def __init__(self, page: Callable[[], None], **state: Any) -> None:
        self.at = AppTest.from_function(page)
        for name, value in state.items():
            self.at.session_state[name] = value
        self.run()

    def run(self) -> None:
        # Streamlit leaves the page as `__main__`, which processes that Python spawns begin with.
        with pytest.MonkeyPatch.context() as kept:
            kept.setitem(sys.modules, "__main__", sys.modules["__main__"])
            self.at.run(timeout=60)
        assert not self.at.exception

"""The command line in processes of its own, forked from one that has imported PyTorch and nnU-Net.

A process that imports them anew takes nine seconds of the processor, several times what a small
training takes. What runs in it is the same.
"""

import multiprocessing
import os
import sys
import tempfile
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from unittest import mock

_SERVER = multiprocessing.get_context("forkserver")
# Nothing of these starts a thread when it is imported.
_SERVER.set_forkserver_preload(["core.__main__", "core.commands.train", "core.training.job"])


class Program:
    """A running ``python -m core ...``, the leader of a process group of its own."""

    def __init__(self, *arguments: object) -> None:
        self._folder = tempfile.TemporaryDirectory()
        texts = [str(argument) for argument in arguments]
        self._process: ForkServerProcess = _SERVER.Process(
            target=_run, args=(texts, dict(os.environ), self._folder.name)
        )
        # A process of this kind runs its parent's main module first: Streamlit puts a page there.
        with mock.patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        if pid is None:
            raise AssertionError("the program did not start")
        return pid

    def wait(self, timeout_s: float = 300) -> tuple[int, str, str]:
        """Its exit status (-9: killed), and what it wrote to its output and as errors."""
        self._process.join(timeout_s)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
            raise AssertionError(f"the program did not end in {timeout_s} s: {self._texts()[1]}")
        out, err = self._texts()
        self._folder.cleanup()
        return status, out, err

    def _texts(self) -> list[str]:
        return [(Path(self._folder.name) / name).read_text() for name in ("out", "err")]


def done(*arguments: object) -> str:
    """What a program wrote that had to succeed."""
    status, out, err = Program(*arguments).wait()
    assert status == 0, err
    return out


def _run(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT), number)
    from core.__main__ import main

    sys.exit(main(arguments))

"""Identifies processes of this machine across restarts of the server."""

import functools
import os
import socket
from pathlib import Path
from typing import Any, Protocol

import psutil

# Tolerance between two measurements of a process's start; a later process with the same number
# started later than that.
_SAME_START_S = 1.0
_NO_NAMES = ("", "localhost", "localhost.localdomain")
# Earlier versions stored the start as a time of day, in seconds since 1970: larger than this.
_TIME_OF_DAY_S = 1e9
# Fields of /proc/PID/stat after the name in brackets: ``starttime`` is the 22nd of all (proc(5)).
_START_FIELD = 19


class Owner(Protocol):
    """A row that says which process it belongs to."""

    host: Any
    pid: Any
    pid_started: Any


def started_s(pid: int) -> float:
    """When a process began, in seconds after the machine's start; 0 if there is none.

    Setting the clock does not change it, unlike a time of day.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
        return int(status.rpartition(b")")[2].split()[_START_FIELD]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return _time_of_day_started_s(pid)


def this_process() -> dict[str, Any]:
    """``host``, ``pid`` and ``pid_started`` of this process, as a row keeps them."""
    return {"host": _host(), "pid": os.getpid(), "pid_started": started_s(os.getpid())}


def is_here(owner: Owner) -> bool:
    """Whether a row's process is, or was, on this machine."""
    return bool(owner.host == _host())


@functools.cache
def _host() -> str:
    """This machine's name; where all are called the same, as on Cloud Run, with what differs."""
    name = socket.gethostname()
    if name not in _NO_NAMES:
        return name
    try:
        return f"{name} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    except OSError:
        return name


def is_alive(owner: Owner) -> bool:
    """Whether a row's own process runs; a later one with the same number does not count."""
    kept = owner.pid_started or 0.0
    started = _time_of_day_started_s if kept > _TIME_OF_DAY_S else started_s
    try:
        same = abs(started(owner.pid) - kept) < _SAME_START_S
        return bool(same and psutil.Process(owner.pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _time_of_day_started_s(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0

"""How many CPUs this process may use: its affinity and its control group's quota, not the host's.

A container with a quota of two CPUs on a host of 64 sees 64 CPUs: that many threads use up the
quota at the start of each period and then all stand still. Imports nothing of the project.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")
# Where the two kinds of control groups are mounted, by systemd, Docker and Kubernetes.
_V2 = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_V1 = ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/cpuacct,cpu")


def usable_cpus(root: Path = _ROOT) -> int:
    """CPUs that this process may keep busy, at least 1.

    Fractions are rounded up: two threads make more of 1.5 CPUs than one does.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.
    """
    quota = _quota(root)
    return allowed_cpus() if quota is None else max(1, min(allowed_cpus(), math.ceil(quota)))


def allowed_cpus() -> int:
    """CPUs in the process's affinity (``taskset``, CPU sets); libraries see it as well."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def give_way(niceness: int) -> None:
    """Let other programs go first, by so much more niceness.

    Linux may share the processors out by session first (``sched_autogroup_enabled``, as desktop and
    Debian kernels have it): then niceness counts within a session alone, and the session has a
    niceness of its own (man 7 sched), which is set as well if this process leads one.
    """
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or a kernel without it
            now = os.getpriority(os.PRIO_PROCESS, 0)
            (_ROOT / "proc/self/autogroup").write_text(str(now))


def limit_threads(root: Path = _ROOT) -> None:
    """Let OpenMP and OpenBLAS follow the quota, here and in child processes.

    By default they follow the affinity. They read the variable when they are loaded: call this
    before NumPy and PyTorch are imported.
    """
    if usable_cpus(root) < allowed_cpus():
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cpus(root)))


def _quota(root: Path) -> float | None:
    """The smallest quota in CPUs of the process's control groups and of those around them."""
    quotas = [q for folder in _groups(root) for q in (_v2_quota(folder), _v1_quota(folder)) if q]
    return min(quotas, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the process's control groups, each up to where they are mounted.

    In a container the path may be the host's: what is not there is passed over, and the mount
    itself is the container's group.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []  # not Linux, or /proc is hidden
    for line in lines:
        number, controllers, path = line.split(":", 2)
        is_v2 = number == "0" and not controllers
        if not is_v2 and "cpu" not in controllers.split(","):
            continue
        for mount in _V2 if is_v2 else _V1:
            top, parts = root / mount, Path(path.lstrip("/")).parts
            for depth in range(len(parts) + 1):
                yield top.joinpath(*parts[:depth])


def _v2_quota(folder: Path) -> float | None:
    words = _words(folder / "cpu.max")
    if len(words) != 2 or words[0] == "max":
        return None
    return _ratio(words[0], words[1])


def _v1_quota(folder: Path) -> float | None:
    words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
    return _ratio(words[0], words[1]) if len(words) == 2 else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _ratio(quota: str, period: str) -> float | None:
    """A quota in CPUs; None where there is none (v1 writes -1)."""
    try:
        quota_us, period_us = int(quota), int(period)
    except ValueError:
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None

"""Threads follow the CPUs that the process may use, not those of the host."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from core.cpus import allowed_cpus, limit_threads, usable_cpus
from core.settings import ROOT

MANY = 1000  # CPUs' worth of quota: never what binds


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = "0::/a/b\n"
V1 = "5:memory:/x\n4:cpu,cpuacct:/docker/abc\n0::/\n"
TREES = {
    "v2, the container's own mount": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
    "v2, a part of a CPU": (
        {"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "50000 100000\n"}, 1),
    "v2, a group around it": (
        {"proc/self/cgroup": V2, "sys/fs/cgroup/a/cpu.max": "100000 100000\n",
         "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 1),
    "v2 beside v1": (
        {"proc/self/cgroup": V2, "sys/fs/cgroup/unified/a/b/cpu.max": "30000 100000\n"}, 1),
    "v2, none": (
        {"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
    "v2, more than there are": (
        {"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": f"{MANY * 10000} 10000\n"}, None),
    "v1": (
        {"proc/self/cgroup": V1, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "90000\n",
         "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"}, 1),
    "v1, the host's path in a container": (
        {"proc/self/cgroup": V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n",
         "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 1),
    "v1, none": (
        {"proc/self/cgroup": V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
         "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
    "not understood": (
        {"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "much\n"}, None),
    "no /proc": ({}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_the_quota_of_the_control_group_binds(name, tmp_path):
    files, expected = TREES[name]
    assert usable_cpus(written(tmp_path, files)) == (expected or allowed_cpus())


def test_part_of_a_cpu_counts_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    cpus = {}
    for share in (20_000, 100_000, 150_000, 400_000):
        files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{share} 100000\n"}
        cpus[share] = usable_cpus(written(tmp_path, files))
    assert cpus == {20_000: 1, 100_000: 1, 150_000: 2, 400_000: 4}


def test_openmp_is_told_the_quota_and_keeps_what_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    limit_threads(tmp_path)
    assert "OMP_NUM_THREADS" not in os.environ  # no quota: the libraries see the affinity
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}
    limit_threads(written(tmp_path, files))
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    limit_threads(tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == "2"


ASK = "from core.cpus import usable_cpus; print(usable_cpus())"
TRAINING = (
    "from core.training.config import share_cores; share_cores(); import os; "
    "print(os.environ['nnUNet_def_n_proc'])"
)
EMBEDDED = (
    "from core.models.folder import load_model; from core.predictor.recipe import recipe_of; "
    "from core.settings import Settings; model = load_model(Settings().model_dir); "
)
TORCH = EMBEDDED + (
    "from core.predictor.torch_network import TorchNetwork; import torch; "
    "TorchNetwork(recipe_of(model), model.weights[0], 'cpu'); print(torch.get_num_threads())"
)
OPENVINO = EMBEDDED + (
    "from core.predictor.networks import networks_of; "
    "made = networks_of(model, recipe_of(model), 'openvino', 'auto', 4, may_fall_back=False); "
    "print(made[0].batch)"
)


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
@pytest.mark.parametrize(
    "code", [ASK, *(pytest.param(c, marks=pytest.mark.long) for c in (TRAINING, TORCH)), OPENVINO]
)
def test_a_process_on_one_cpu_takes_one(code):
    one = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        ["taskset", "-c", one, sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "1"


def test_nobody_else_counts_the_cpus_of_the_host():
    counts = {
        str(path.relative_to(ROOT))
        for part in ("app", "core", "pages", "benchmarks")
        for path in (ROOT / part).rglob("*.py")
        if "cpu_count(" in path.read_text()
    }
    assert counts == {"core/cpus.py"}


_GIVES_WAY = """
import os
from core.cpus import give_way
before = os.getpriority(os.PRIO_PROCESS, 0)
give_way(3)
print(os.getpriority(os.PRIO_PROCESS, 0) - before, open("/proc/self/autogroup").read())
"""


def _autogroup() -> str:
    """Words of the session's group; some containers have the file, empty."""
    with suppress(OSError):
        return Path("/proc/self/autogroup").read_text()
    return ""


@pytest.mark.skipif(not _autogroup(), reason="the kernel has no groups")
@pytest.mark.parametrize("leads", [True, False])
def test_a_process_gives_way_and_its_session_only_if_it_leads_one(leads):
    own = _autogroup().split()[-1]
    done = subprocess.run(
        [sys.executable, "-c", _GIVES_WAY], start_new_session=leads, cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    added, *_, session = done.stdout.split()
    assert added == "3"
    expected = str(os.getpriority(os.PRIO_PROCESS, 0) + 3) if leads else own
    assert session == expected

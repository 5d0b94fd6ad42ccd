"""What sleeping OpenMP threads cost PyTorch on an idle machine, and save on a busy one.

``python -m benchmarks.waiting`` runs the embedded model in child processes, alternating, on an
idle machine, with another process that keeps one core busy, and with one of higher priority
(a browser that draws in software has nice -8; as root only).
"""

import os
import statistics
import subprocess
import sys

_ROUNDS = 3
_CHILD = """
import time
import numpy as np
from core.models.folder import load_model
from core.predictor.recipe import recipe_of
from core.predictor.torch_network import TorchNetwork
from core.settings import Settings
model = load_model(Settings().model_dir)
network = TorchNetwork(recipe_of(model), model.weights[0], "cpu")
noise = np.random.default_rng(0).random((8, 40, 56, 40), np.float32)
for _ in range(4):
    start = time.perf_counter()
    network.logits(noise)
print(time.perf_counter() - start)
"""


def seconds(policy: str) -> float:
    """One scan, in a fresh process, the fourth of four."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        env={**os.environ, "OMP_WAIT_POLICY": policy},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    print(f"{'machine':8} {'spinning (s)':>13} {'sleeping (s)':>13} {'ratio':>6}")
    machines = {"idle": None, "busy": 0}
    if os.geteuid() == 0:
        machines["nice -8"] = -8
    for machine, nice in machines.items():
        burner = None
        if nice is not None:
            busy = f"import os; os.nice({nice})\nwhile True: pass"
            burner = subprocess.Popen([sys.executable, "-c", busy])
        pairs = [(seconds("ACTIVE"), seconds("PASSIVE")) for _ in range(_ROUNDS)]
        if burner:
            burner.kill()
            burner.wait()
        spinning, sleeping = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{machine:8} {spinning:13.2f} {sleeping:13.2f} {spinning / sleeping:6.2f}")


if __name__ == "__main__":
    main()

"""Iterations per second of the preset cpu beside nnU-Net's own trainer, in one run.

``python -m benchmarks.training FOLDER [ROUNDS]``, with a folder in the Decathlon's layout: the
same network, the same batch size, the same data, rounds of 20 iterations in turn; and how long ours
waits for batches.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from loguru import logger

from benchmarks.rounds import alternate, table
from core.cpus import usable_cpus
from core.state.storage import LocalStorage
from core.training.config import TrainingConfig, TrainingRequest
from core.training.data.prepare import prepare
from core.training.fit import prepare_run
from core.training.progress import Events

_ITERATIONS = 20
_STOCK = "nnU-Net's trainer"


def main(source: Path, rounds: int) -> None:
    """Measure and print."""
    logger.remove()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        storage = LocalStorage(folder / "storage")
        dataset, _ = prepare(source, storage, "one")
        config = TrainingRequest("one", "cpu").config()
        with storage.local("datasets/one") as files, contextlib.redirect_stdout(io.StringIO()):
            progress = Events(folder / "events.jsonl")
            ready = prepare_run(progress, folder, config, dataset, files, None)
            stock = _stock(ready)
            ours = _ours(ready, config)
            plain = _ours(ready, TrainingRequest("one", "cpu", ["precision=float32"]).config())
            waited: list[float] = []
            sides = {
                _STOCK: lambda: _steps(stock),
                "ours, float32": lambda: _steps(plain),
                "ours": lambda: _steps(ours, waited),
            }
            times = alternate(sides, rounds)
            for loader in (stock.dataloader_train, stock.dataloader_val):
                loader._finish()  # or its processes stay
    table("The preset cpu, one iteration", times, _STOCK)
    print(f"ours waits for batches {median(waited):.1%} of the time, {max(waited):.1%} at most")


def _stock(ready):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    os.environ["nnUNet_n_proc_DA"] = str(max(1, usable_cpus() - 1))  # noqa: SIM112
    return _begun(nnUNetTrainer(*_arguments(ready)))


def _ours(ready, config: TrainingConfig):
    from core.training.trainer import Trainer

    trainer = Trainer(*_arguments(ready))
    trainer.configure(config, lambda sha256, values: None, lambda: None)
    return _begun(trainer)


def _arguments(ready):
    described = json.loads((ready.files / "dataset.json").read_bytes())
    plans = {**json.loads(json.dumps(ready.plans)), "continue_training": False}
    return plans, ready.configuration, 0, described, torch.device("cpu")


def _begun(trainer):
    trainer.initialize()
    trainer.on_train_start()
    trainer.network.train()
    return trainer


def _steps(trainer, waited: list[float] | None = None) -> int:
    batches = getattr(trainer, "_batches", None)
    before, began = batches.waited_s if batches else 0.0, time.perf_counter()
    for _ in range(_ITERATIONS):
        trainer.train_step(next(trainer.dataloader_train))
    if batches and waited is not None:
        waited.append((batches.waited_s - before) / (time.perf_counter() - began))
    return _ITERATIONS


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)

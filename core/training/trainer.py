"""nnU-Net's trainer, with a checkpoint after each epoch and a voice. Imports nnU-Net: late."""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch

with contextlib.redirect_stdout(io.StringIO()):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from core.errors import TrainingError
from core.predictor.checkpoint import weights_file
from core.training.config import TrainingConfig

_LATEST, _FINAL = "checkpoint_latest.pth", "checkpoint_final.pth"
OnEpoch = Callable[[str, dict[str, Any]], None]


class Trainer(nnUNetTrainer):  # type: ignore[misc]  # nnU-Net has no types
    """One training.

    After each epoch the checkpoint is written whole; ``on_epoch`` hears its sha256 before it
    takes the place of the last one, so that only files that were recorded are ever loaded.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device,
    ) -> None:
        # nnU-Net reads the names of this signature to keep the arguments.
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.save_every = 1
        self.on_epoch: OnEpoch = lambda sha256, values: None
        self.on_step: Callable[[], None] = lambda: None

    def configure(
        self, config: TrainingConfig, on_epoch: OnEpoch, on_step: Callable[[], None]
    ) -> None:
        """Set lengths and learning rate, and who hears of epochs and steps; before `initialize`."""
        self.num_epochs = config.epochs
        self.num_iterations_per_epoch = config.iterations
        self.num_val_iterations_per_epoch = config.validation_iterations
        self.initial_lr = config.learning_rate
        self.on_epoch, self.on_step = on_epoch, on_step

    def begin_from(self, weights: Path) -> None:
        """Take the weights of another version with the same plans."""
        safetensors.torch.load_model(self._module, weights)

    def on_train_start(self) -> None:
        """Get ready; on a CPU in the memory layout that is fast there."""
        super().on_train_start()
        if self.device.type == "cpu":
            torch.set_flush_denormal(True)
            self.network.to(memory_format=torch.channels_last_3d)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One iteration."""
        self.on_step()
        return cast(dict[str, Any], super().train_step(batch))

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One iteration of the validation."""
        self.on_step()
        return cast(dict[str, Any], super().validation_step(batch))

    def save_checkpoint(self, filename: str) -> None:
        """Write the latest or the final checkpoint whole; nnU-Net's "best" is not used."""
        path = Path(filename)
        if path.name not in (_LATEST, _FINAL):
            return
        temporary = path.with_suffix(".new")
        super().save_checkpoint(str(temporary))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.on_epoch(sha256, self._values())
        temporary.replace(path)

    def on_train_end(self) -> None:
        """Finish; a training that was resumed after its last epoch has nothing to write."""
        if not (Path(self.output_folder) / _FINAL).is_file():
            super().on_train_end()

    def resume(self, known: set[str]) -> bool:
        """Go on from the last checkpoint, if there is one.

        Parameters
        ----------
        known
            The sha256 of the checkpoints that this training wrote: ``torch.load`` runs code,
            so no other file is ever given to it.

        Raises
        ------
        TrainingError
            The checkpoint is not one of them.
        """
        folder = Path(self.output_folder)
        path = next((p for p in (folder / _FINAL, folder / _LATEST) if p.is_file()), None)
        if path is None:
            return False
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 not in known:
            raise TrainingError(
                "The checkpoint is not one that this training wrote",
                "Start a new training.",
                code="bad_checkpoint",
            )
        self.load_checkpoint(str(path))
        return True

    def weights(self) -> bytes:
        """The network's weights as they are now, as the content of a safetensors file."""
        return weights_file(self._module.state_dict())

    @property
    def _module(self) -> torch.nn.Module:
        """The network itself, whether ``torch.compile`` wraps it or not."""
        return cast(torch.nn.Module, getattr(self.network, "_orig_mod", self.network))

    def _values(self) -> dict[str, Any]:
        def last(key: str) -> Any:
            return self.logger.get_value(key, step=-1)

        anterior, posterior = (float(d) for d in last("dice_per_class_or_region"))
        start, end = last("epoch_start_timestamps"), last("epoch_end_timestamps")
        return {
            "epoch": self.current_epoch,
            "train_loss": float(last("train_losses")),
            "val_loss": float(last("val_losses")),
            "dice_anterior": anterior,
            "dice_posterior": posterior,
            "seconds": float(end - start),
        }

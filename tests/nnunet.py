"""What nnU-Net itself makes of a data set, in a process of its own.

It forks, and what is forked beside a thread that holds a lock may wait for it for ever: the tests'
process has threads of a browser and of networks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_SCRIPT = """
import contextlib, json, sys
if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
        from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
        verify_dataset_integrity(sys.argv[1], 1)
        files = get_filenames_of_train_images_and_targets(sys.argv[1])
    print(json.dumps({name: [one["images"], one["label"]] for name, one in files.items()}))
"""


def accepted_files(folder: Path, scratch: Path) -> dict[str, tuple[list[str], str]]:
    """The paths of images and label of each training case of a folder that nnU-Net accepts."""
    raw = scratch / "nnunet" / "Dataset001_Hippocampus"
    raw.parent.mkdir()
    raw.symlink_to(folder)
    variables = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    out = _told(_SCRIPT, scratch, raw, **dict.fromkeys(variables, str(raw.parent)))
    found = json.loads(out.splitlines()[-1])
    return {name: (images, label) for name, (images, label) in found.items()}


_METRICS = """
import contextlib, sys
if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
        from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
        names = (*sys.argv[1:], NibabelIO(), ".nii.gz", [1, 2])
        compute_metrics_on_folder(*names, num_processes=1)
"""


def metrics(labels: Path, masks: Path, scratch: Path) -> dict[str, Any]:
    """nnU-Net's own figures of the masks of a folder."""
    out = scratch / "summary.json"
    _told(_METRICS, scratch, labels, masks, out)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def _told(script: str, scratch: Path, *arguments: Path, **variables: str) -> str:
    """What a script prints, run from a file, which its own processes read."""
    file = scratch / "asks_nnunet.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, file, *arguments],
        env=os.environ | variables, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout

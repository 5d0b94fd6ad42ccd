"""Masks of ``nnUNetv2_predict`` and ours (float32) on forty cases: Dice and voxels that differ.

``python -m benchmarks.parity FOLDER``, with a folder of scans.
"""

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.rounds import write
from core.image import volume
from core.image.intake import vetted
from core.models.folder import load_model
from core.predictor.checkpoint import write_for_nnunet
from core.predictor.predictor import InferenceOptions, loaded
from core.settings import Settings

_CASES = 40


def main() -> None:
    """Print the table."""
    folder, model = Path(sys.argv[1]), load_model(Settings().model_dir)
    paths = sorted(folder.glob("[!.]*.nii.gz"))
    paths = paths[:: max(1, len(paths) // _CASES)][:_CASES]
    figures = {}
    for mirroring in ("full", "off"):
        options = InferenceOptions(device="cpu", precision="float32", mirroring=mirroring)
        predictor = loaded(model, options)
        differ, dice = [], []
        with tempfile.TemporaryDirectory() as scratch:
            given = Path(scratch) / "in"
            given.mkdir()
            checkpoint = Path(scratch) / "nnunet"
            write_for_nnunet(model, checkpoint)
            for path in paths:
                name = path.name.replace(".nii.gz", "_0000.nii.gz")
                (given / name).symlink_to(path.resolve())
            subprocess.run(
                [Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder",
                 "-i", given, "-o", f"{scratch}/out", "-m", checkpoint, "-f", "0",
                 "-device", "cpu", *["--disable_tta"] * (mirroring == "off")],
                check=True, capture_output=True,
            )  # fmt: skip
            for path in paths:
                with path.open("rb") as stream, vetted(stream, Path(scratch)) as file:
                    scan = volume.load(file)
                mask = gzip.decompress(predictor.segment(scan).mask_file())
                mine = np.asarray(nib.Nifti1Image.from_bytes(mask).dataobj)
                theirs = np.asarray(nib.load(f"{scratch}/out/{path.name}").dataobj)
                differ.append(int((mine != theirs).sum()))
                dice.append([
                    2 * float(((mine == v) & (theirs == v)).sum())
                    / float((mine == v).sum() + (theirs == v).sum()) for v in (1, 2)
                ])  # fmt: skip
        smallest = np.array(dice).min(0)
        print(f"mirroring {mirroring}: {len(paths)} cases, smallest Dice {smallest[0]:.6f} "
              f"anterior, {smallest[1]:.6f} posterior; voxels that differ: median "
              f"{np.median(differ):.0f}, most {max(differ)}")  # fmt: skip
        figures[mirroring] = {"dice_min": smallest.tolist(), "differ": differ}
    write("parity", figures)


if __name__ == "__main__":
    main()

"""Data sets in the Decathlon's layout, made for tests."""

import functools
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np

from core.image.example import example_file


@functools.cache
def _scan() -> tuple[np.ndarray, np.ndarray]:
    image = nib.Nifti1Image.from_bytes(example_file())
    return np.asarray(image.dataobj, np.float32), image.affine


def labels_like(shape: tuple[int, ...]) -> np.ndarray:
    """Two blocks where the hippocampus is: enough to train on, no anatomy."""
    labels = np.zeros(shape, np.uint8)
    x, y, z = (n // 2 for n in shape)
    labels[x - 5 : x + 5, y : y + 10, z - 4 : z + 4] = 1
    labels[x - 5 : x + 5, y - 12 : y, z - 4 : z + 4] = 2
    return labels


def save(folder: Path, name: str, image: np.ndarray, labels: np.ndarray, affine=None) -> None:
    affine = _scan()[1] if affine is None else affine
    for part, data in (("imagesTr", image), ("labelsTr", labels)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, affine), folder / part / f"{name}.nii.gz")


def made(folder: Path, count: int, prefix: str = "case_") -> Path:
    """So many cases: the example with noise, each different."""
    values, _ = _scan()
    for number in range(count):
        rng = np.random.default_rng(number)
        noisy = values + rng.normal(0, values.std() / 20, values.shape).astype(np.float32)
        save(folder, f"{prefix}{number:03}", noisy, labels_like(values.shape))
    return folder


def real(folder: Path, shared_data: Path, count: int, first: int = 0) -> Path:
    """So many of the real cases, by link."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        source = shared_data / "Task04_Hippocampus" / part
        for path in sorted(source.glob("hippocampus_*"))[first : first + count]:
            (folder / part / path.name).symlink_to(path)
    return folder


def packed(folder: Path, target: Path) -> Path:
    """The folder as a tar, as the Decathlon packs it."""
    with tarfile.open(target, "w", dereference=True) as tar:
        tar.add(folder, folder.name)
    return target

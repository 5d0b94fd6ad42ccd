"""Scan and masks of a case as files for the viewer, cached on the disk."""

import functools
import math
import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from app.viewer.kept import KeptFiles
from core import limits
from core.anatomy import CONVENTION_WORDS, LABEL_RGB, LABELS, LETTER_RGB, NOTICE, Convention
from core.cases.case import MODEL_MASK, CaseImages
from core.cases.store import Cases
from core.errors import NotFoundError
from core.exports.slice_picture import slice_png
from core.image import nifti, voxels
from core.image.header import EXTENSION_FLAG, LARGEST_HEADER_BYTES, parse_header
from core.image.volume import box_around, cut_affine, ras_affine, to_ras
from core.image.voxels import Voxels, block_means
from core.measures.landmarks import landmarks
from core.measures.measure import why_scan_too_small
from core.people.acting import SERVER, acting_as
from core.predictor.heads import centres_of, sides_of

# Percentiles of the scan's values that are drawn black and white.
_WINDOWS = {"2 to 98 %": (2, 98), "all values": (0, 100), "soft, 0.5 to 90 %": (0.5, 90)}
_SMALLEST_WINDOW = 1e-6
_WINDOW_VOXELS = 500_000  # as good as all millions of a head
_KEPT_ABOUTS = 64
_CHUNK_BYTES = 1024 * 1024
Factors = tuple[int, int, int]


@dataclass(frozen=True)
class ViewerFile:
    """An open ``.nii.gz`` file for the browser, and the tag (ETag) of its content."""

    file: BinaryIO
    etag: str


class ViewerFiles:
    """Files of cases for the viewer.

    They are turned to RAS+, so that a voxel's numbers are the same in the viewer, on the page and
    in the measures; a scan of more than `limits.MAX_VIEWER_VOXELS` is reduced. A case's scan and
    the versions of its mask never change, so what is kept stays true; whether a case still exists
    is for the caller to ask.
    """

    def __init__(self, cases: Cases, folder: Path, *, encrypt: bool = False) -> None:
        self.cases = cases
        self.kept = KeptFiles(folder, limits.MAX_VIEWER_CACHE_BYTES, encrypt=encrypt)
        # Held while files of one case are made of another's: two that wait for each other's would
        # wait for ever.
        self.pairs = threading.RLock()
        self.about = functools.lru_cache(_KEPT_ABOUTS)(self._about)

    def images(self, case_id: str, version: int) -> CaseImages:
        """Scan and labels of a case, read lazily from the disk."""
        with self.kept.opened(
            case_id, "image.nii", lambda to: self._unpack_scan(case_id, to)
        ) as image:
            scan, affine = _turned(image)
        with self.kept.opened(
            case_id, f"labels-{version}.nii",
            lambda to: _unpack(self.cases.mask_file(case_id, version), to),
        ) as mask:  # fmt: skip
            labels, _ = _turned(mask)
        return CaseImages(voxels.with_background(scan), labels.stored, affine)

    def scan(self, case_id: str) -> ViewerFile:
        """The scan, reduced if it is larger than the viewer can show."""
        return self.file(case_id, "scan.nii.gz", lambda to: self._write_scan(case_id, to))

    def mask(self, case_id: str, version: int) -> ViewerFile:
        """A version of the mask, on the same grid."""
        return self.file(
            case_id, f"mask-{version}.nii.gz", lambda to: self._write_mask(case_id, version, to)
        )

    def prepare(self, case_id: str, version: int) -> None:
        """Make what the viewer fetches first of a case, before it asks."""
        self.scan(case_id).file.close()
        self.mask(case_id, version).file.close()
        self.about(case_id, version)

    def picture(
        self,
        case_id: str,
        version: int,
        axis: int,
        index: int,
        convention: Convention,
        opacity: float,
    ) -> bytes:
        """One slice as PNG, in the first window; ``index`` counts as `about` does."""
        images = self.images(case_id, version)
        factor = factors_of(images.shape, images.affine)[axis]
        window = self.about(case_id, version)["windows"][0]
        return slice_png(
            images, axis, index * factor + factor // 2, convention=convention, opacity=opacity,
            window=(window["low"], window["high"]), letter_rgb=LETTER_RGB,
        )  # fmt: skip

    def forget(self, case_id: str) -> None:
        """Remove the cached files of a case."""
        self.kept.forget(case_id)

    def _unpack_scan(self, case_id: str, to: Path) -> None:
        self.forget_gone()
        _unpack(self.cases.image_file(case_id), to)

    def forget_gone(self) -> None:
        """Remove cached files of cases that were deleted without calling `forget`.

        Asked as the server: what one reader does not see is another's.
        """
        with acting_as(SERVER):
            for case_id in self.kept.case_ids():
                try:
                    self.cases.get(case_id)
                except NotFoundError:
                    self.kept.forget(case_id)

    def file(self, case_id: str, name: str, make: Callable[[Path], None]) -> ViewerFile:
        """A cached file of a case; see `KeptFiles.opened`."""
        file = self.kept.opened(case_id, name, make)
        return ViewerFile(file, f'"{case_id}-{name}-{os.fstat(file.fileno()).st_size}"')

    def _write_scan(self, case_id: str, to: Path) -> None:
        images = self.images(case_id, MODEL_MASK)
        factors = factors_of(images.shape, images.affine)
        shown = images.voxels
        if factors != (1, 1, 1):
            means = block_means(shown, factors)
            shown = Voxels(means.round() if voxels.is_whole(shown) else means)
        kind = voxels.smallest_type(shown)
        window = next(iter(windows_of(images).values()))
        write_volume(shown, kind, reduced_affine(images.affine, factors), window, to)

    def _write_mask(self, case_id: str, version: int, to: Path) -> None:
        images = self.images(case_id, version)
        factors = factors_of(images.shape, images.affine)
        labels = Voxels(reduced_labels(images.labels, factors))
        affine = reduced_affine(images.affine, factors)
        write_volume(labels, np.uint8, affine, (0, max(LABELS.values())), to)

    def _about(self, case_id: str, version: int) -> dict[str, Any]:
        """Everything but files that the viewer needs about a case and a version of its mask."""
        images = self.images(case_id, version)
        factors = factors_of(images.shape, images.affine)
        report = self.cases.get(case_id, version).report
        head = report.get("head")
        windows = windows_of(images)
        shape = [n // f for n, f in zip(images.shape, factors, strict=True)]
        return {
            "labels": [
                {"name": name, "value": value, "rgb": list(LABEL_RGB[name])}
                for name, value in LABELS.items()
            ],
            "letters": [round(c / 255, 3) for c in LETTER_RGB] + [1],
            "shape": shape,
            "scan_shape": list(images.shape),
            "factors": list(factors),
            "affine": reduced_affine(images.affine, factors).tolist(),
            "reduced": _reduced_words(images.shape, shape) if factors != (1, 1, 1) else "",
            "conventions": CONVENTION_WORDS,
            "notice": NOTICE,
            "windows": [{"name": name, "low": a, "high": b} for name, (a, b) in windows.items()],
            "head": head,
            "too_small": why_scan_too_small(report["measures"]),
            "findings": findings_of(images, head, factors),
        }


def windows_of(images: CaseImages) -> dict[str, tuple[float, float]]:
    """By name, the values that are drawn black and white; the first is that of the beginning."""
    low, high, _ = voxels.range_of(images.voxels)
    some = images.voxels.sample(_WINDOW_VOXELS)
    ends: dict[float, float] = {0: low, 100: high}  # a sample may lack them
    windows = {}
    for name, percents in _WINDOWS.items():
        low, high = (ends.get(p, float(np.percentile(some, p))) for p in percents)
        windows[name] = (low, max(high, low + _SMALLEST_WINDOW))
    return windows


def factors_of(shape: tuple[int, ...], affine: NDArray[np.float64]) -> Factors:
    """By how much to reduce each axis for the viewer; axes with the smallest voxels first.

    >>> factors_of((512, 512, 512), np.eye(4) / 2)
    (2, 2, 1)
    >>> factors_of((256, 256, 256), np.eye(4))
    (1, 1, 1)
    """
    factors = [1, 1, 1]
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    while math.prod(n // f for n, f in zip(shape, factors, strict=True)) > limits.MAX_VIEWER_VOXELS:
        factors[int(np.argmin(edges * factors))] += 1
    x, y, z = factors
    return x, y, z


def reduced_labels(labels: NDArray[np.uint8], factors: Factors) -> NDArray[np.uint8]:
    """Labels for the viewer: the central voxel of each block."""
    x, y, z = (slice(f // 2, n // f * f, f) for n, f in zip(labels.shape, factors, strict=True))
    return labels[x, y, z]


def reduced_affine(affine: NDArray[np.float64], factors: Factors) -> NDArray[np.float64]:
    """The affine of a volume that is reduced by these factors."""
    change = np.diag([*factors, 1.0])
    change[:3, 3] = [(f - 1) / 2 for f in factors]
    return np.asarray(affine @ change, np.float64)


def _reduced_words(shape: tuple[int, ...], shown: list[int]) -> str:
    whole, part = (" x ".join(str(n) for n in size) for size in (shape, shown))
    return (
        f"Shown with {part} voxels: the scan has {whole}, more than a browser draws. The mask, "
        "the volumes and the strip are of all of them. It cannot be corrected here: download the "
        "scan's mask and correct it in 3D Slicer or ITK-SNAP."
    )


def findings_of(
    images: CaseImages, head: dict[str, Any] | None, factors: Factors
) -> list[dict[str, Any]]:
    """Landmarks to look at, in voxels of the reduced volume."""
    box = box_around(images.labels)
    if box is None:
        return []
    labels, where = images.labels[box], None
    if head:
        where = sides_of(labels.shape, cut_affine(images.affine, box), centres_of(head))
    findings = []
    for landmark in landmarks(labels, where):
        voxel = [
            min((v + part.start) // f, n // f - 1)
            for v, part, f, n in zip(landmark.voxel, box, factors, images.shape, strict=True)
        ]
        findings.append(landmark.as_dict() | {"voxel": voxel})
    return findings


def _turned(file: BinaryIO) -> tuple[Voxels, NDArray[np.float64]]:
    """The voxels of an unpacked file, turned to RAS+, and their affine."""
    header = parse_header(file.read(LARGEST_HEADER_BYTES))
    stored = voxels.of_file(file, header)
    return stored.with_stored(to_ras(stored.stored, header)), ras_affine(header)


def _unpack(packed: bytes, to: Path) -> None:
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    with to.open("wb") as file:
        rest = packed
        while rest and not unzip.eof:
            file.write(unzip.decompress(rest, _CHUNK_BYTES))
            rest = unzip.unconsumed_tail
        file.write(unzip.flush())


def write_volume(
    written: Voxels,
    kind: type[np.uint8 | np.int16 | np.float32],
    affine: NDArray[np.float64],
    window: tuple[float, float],
    to: Path,
) -> None:
    """Write a volume for the browser, with the window in which it is shown first."""
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(written.shape)
    header.set_sform(affine, "aligned")
    header.set_qform(affine, "unknown")
    header.set_xyzt_units("mm")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    # Without it NiiVue looks for a window of its own in all voxels.
    header["cal_min"], header["cal_max"] = window
    is_scaled = (written.slope, written.inter) != (1, 0) or written.background is not None
    is_as_stored = written.stored.dtype == kind and not is_scaled
    parts = (
        (written.stored[box] if is_as_stored else written.read(box).astype(kind)).tobytes(order="F")
        for box in written.slabs(axis=2)
    )
    content = nifti.packed(header.binaryblock + EXTENSION_FLAG, parts, 1)
    to.write_bytes(content)

"""MR series made from an array and an affine, as a scanner would export them."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

NAME, PATIENT_ID, BIRTH_DATE = "Invented^Phantom", "HV-PHANTOM-7", "19610204"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass
class Phantom:
    """A series.

    Attributes
    ----------
    voxels
        By column, row and slice: integers of 16 bits.
    affine
        From these to mm, RAS+.
    values
        Of all headers, beside those that every series has.
    """

    voxels: NDArray[Any]
    affine: NDArray[np.float64]
    values: dict[str, Any] = field(default_factory=dict)
    syntax: UID = ExplicitVRLittleEndian
    series_uid: str = field(default_factory=generate_uid)
    study_uid: str = field(default_factory=generate_uid)

    @property
    def image(self) -> nib.Nifti1Image:
        """The same as NIfTI."""
        return nib.Nifti1Image(self.voxels, self.affine)

    def datasets(self) -> list[FileDataset]:
        """One file a slice, in the order of the voxels."""
        row, column, along, spacing = self._axes()
        files = []
        for k in range(self.voxels.shape[2]):
            dataset = self._common(MRImageStorage)
            dataset.InstanceNumber = k + 1
            dataset.ImagePositionPatient = _numbers(self._start() + k * along)
            dataset.ImageOrientationPatient = _numbers(np.concatenate([row, column]))
            dataset.PixelSpacing = _numbers(spacing)
            _set(dataset, self.values)
            self._set_pixels(dataset, self.voxels[:, :, k : k + 1])
            files.append(dataset)
        return files

    def enhanced(self) -> FileDataset:
        """All slices in one file."""
        row, column, along, spacing = self._axes()
        dataset = self._common(EnhancedMRImageStorage)
        dataset.NumberOfFrames = self.voxels.shape[2]
        orientation, measures = Dataset(), Dataset()
        orientation.ImageOrientationPatient = _numbers(np.concatenate([row, column]))
        measures.PixelSpacing = _numbers(spacing)
        measures.SliceThickness = str(float(np.linalg.norm(along)))
        shared = Dataset()
        shared.PlaneOrientationSequence = Sequence([orientation])
        shared.PixelMeasuresSequence = Sequence([measures])
        dataset.SharedFunctionalGroupsSequence = Sequence([shared])
        frames = []
        for k in range(self.voxels.shape[2]):
            position, own = Dataset(), Dataset()
            position.ImagePositionPatient = _numbers(self._start() + k * along)
            own.PlanePositionSequence = Sequence([position])
            frames.append(own)
        dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
        _set(dataset, self.values)
        self._set_pixels(dataset, self.voxels)
        return dataset

    def _start(self) -> NDArray[np.float64]:
        return np.asarray((_RAS_TO_LPS @ self.affine)[:3, 3])

    def _axes(self) -> tuple[NDArray[np.float64], ...]:
        """Directions of row and column, step from slice to slice, and pixel spacing."""
        matrix = (_RAS_TO_LPS @ self.affine)[:3, :3]
        sizes = np.linalg.norm(matrix, axis=0)
        row, column = matrix[:, 0] / sizes[0], matrix[:, 1] / sizes[1]
        return row, column, matrix[:, 2], sizes[[1, 0]]

    def _common(self, storage: UID) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = storage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        dataset.SOPClassUID, dataset.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
        dataset.PatientName, dataset.PatientID = NAME, PATIENT_ID
        dataset.PatientBirthDate, dataset.PatientSex = BIRTH_DATE, "F"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.study_uid, self.series_uid
        dataset.Modality, dataset.SeriesDescription = "MR", "t1_mprage_sag"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        dataset.MRAcquisitionType, dataset.ScanningSequence = "3D", "GR"
        return dataset

    def _set_pixels(self, dataset: FileDataset, voxels: NDArray[Any]) -> None:
        dataset.SamplesPerPixel, dataset.BitsAllocated = 1, 16
        dataset.PhotometricInterpretation = self.values.get(
            "PhotometricInterpretation", "MONOCHROME2"
        )
        dataset.BitsStored, dataset.HighBit = 16, 15
        dataset.PixelRepresentation = int(np.issubdtype(voxels.dtype, np.signedinteger))
        dataset.Columns, dataset.Rows = voxels.shape[:2]
        pixels = np.ascontiguousarray(voxels.transpose(2, 1, 0))
        dataset.PixelData = pixels.astype(voxels.dtype.newbyteorder("<")).tobytes()
        if self.syntax != ExplicitVRLittleEndian:
            dataset.compress(self.syntax, encoding_plugin="")


def phantom_of(image: nib.Nifti1Image, **values: Any) -> Phantom:
    """A scan as a scanner would have it: turned, in whole numbers from 0 to 1000."""
    image = nib.as_closest_canonical(image)
    voxels = np.asarray(image.dataobj, np.float32)
    voxels = np.round(1000 * (voxels - voxels.min()) / np.ptp(voxels)).astype(np.int16)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps[:2, 3] = np.array(voxels.shape[:2]) - 1
    return Phantom(np.ascontiguousarray(voxels[::-1, ::-1]), image.affine @ lps, values)


def written(folder: Path, datasets: list[FileDataset], seed: int = 0) -> Path:
    """Write files under names that say nothing, in an order that means nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, index in enumerate(np.random.default_rng(seed).permutation(len(datasets))):
        datasets[index].save_as(folder / f"IM{place:05}", enforce_file_format=True)
    return folder


def _numbers(values: NDArray[np.float64]) -> list[str]:
    return [f"{value:.10g}"[:16] for value in values]


def _set(dataset: Dataset, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(dataset, name, value)


def as_file(dataset: FileDataset) -> bytes:
    """A dataset as it is on the disk."""
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()

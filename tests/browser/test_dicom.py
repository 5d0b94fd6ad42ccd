"""DICOM dropped on the page: all files of a series at once, and a zip."""

import io

import nibabel as nib
import numpy as np

from core.image.dicom.unpack import zipped
from tests.phantoms import BIRTH_DATE, NAME, PATIENT_ID, Phantom, written
from tests.scans import example


def test_files_of_a_series_and_a_zip_are_one_case_each(user, server, tmp_path):
    image = nib.as_closest_canonical(example())
    values = np.asarray(image.dataobj, np.float32)
    values = np.round(1000 * (values - values.min()) / np.ptp(values)).astype(np.int16)
    made = Phantom(values, image.affine)
    folder = written(tmp_path / "in", made.datasets())
    files = [(f"{NAME}.{file.name}", file.read_bytes()) for file in sorted(folder.iterdir())]
    user.upload(*files)
    user.see_result(f"DICOM, {len(files)} files")
    assert user.page.get_by_text("Invented").count() == 0
    target = io.BytesIO()
    zipped((io.BytesIO(content) for _, content in files), target)
    user.upload(("export.zip", target.getvalue()), ("few.zip", b"PK\x03\x04" + bytes(100)))
    user.read("The zip is damaged", "export")
    kept = [file for file in server.data_dir.rglob("*") if file.is_file()]
    assert len(kept) > 3
    for file in kept:
        content = file.read_bytes()
        for word in (NAME, "Invented", PATIENT_ID, BIRTH_DATE):
            assert word.encode() not in content, file.name

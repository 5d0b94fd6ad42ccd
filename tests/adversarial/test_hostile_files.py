"""Files as they come from a hostile or careless hand: a clear code, little memory, no trace."""

import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib

import nibabel as nib
import numpy as np
import pytest

from core.errors import InputError
from core.image.intake import vetted
from core.image.volume import load
from core.settings import ROOT
from tests.scans import as_bytes, image, noise, patched, stream

RAW = as_bytes(image())
SINGULAR = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
SHEARED = np.array([[1.0, 0.9, 0, 0], [0, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("scan.nii", RAW)
    return out.getvalue()


def sform_patched(affine) -> bytes:
    raw = patched(RAW, "sform_code", 1)
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        raw = patched(raw, name, np.asarray(affine, np.float32)[row])
    return raw


def dims(*sizes: int) -> bytes:
    return patched(RAW, "dim", [len(sizes), *sizes, *[1] * (7 - len(sizes))])


def label_map(values: int) -> bytes:
    labels = np.zeros((40, 40, 40), np.int16)
    for value in range(values):
        labels[
            2 + 4 * (value // 9) : 6 + 4 * (value // 9), 4 * (value % 9) : 4 * (value % 9) + 4
        ] = value + 1
    return as_bytes(image(labels))


nan = noise()
nan[:] = np.nan
infinite = noise()
infinite[:] = np.inf

BAD = {
    "empty": (b"", "empty_file"),
    "text": (b"Dear doctor, please find attached" * 100, "not_nifti"),
    "zip": (zipped(), "no_dicom"),
    "dicom": (bytes(128) + b"DICM" + bytes(2000), "dicom_damaged"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(2000), "not_nifti"),
    "gzipped text": (gzip.compress(b"nothing here" * 100), "not_nifti"),
    "gzip of nothing": (gzip.compress(b""), "empty_file"),
    "gzip magic only": (b"\x1f\x8b", "truncated"),
    "analyze": (patched(RAW, "magic", b"\0\0\0\0"), "not_nifti"),
    "pair": (patched(RAW, "magic", b"ni1\0"), "not_single_file"),
    "truncated": (RAW[: len(RAW) // 2], "truncated"),
    "truncated gzip": (gzip.compress(RAW)[:5000], "truncated"),
    "one slice": (as_bytes(image(noise((40, 50, 1)))), "not_3d"),
    "2-D": (as_bytes(image(noise((40, 50)))), "not_3d"),
    "4-D": (as_bytes(image(noise((20, 22, 24, 3)))), "not_3d"),
    "dim 0": (patched(RAW, "dim", [0] * 8), "bad_header"),
    "dim negative": (dims(35, -50, 35), "bad_header"),
    "dim 9": (patched(RAW, "dim", [9, 35, 50, 35, 1, 1, 1, 1]), "bad_header"),
    "huge": (dims(32767, 32767, 32767), "too_large"),
    "tiny": (as_bytes(image(noise((3, 50, 35)))), "too_small"),
    "small": (as_bytes(image(noise((8, 50, 35)))), "too_small"),
    "complex": (as_bytes(image(noise().astype(np.complex64))), "unsupported_type"),
    "rgb": (patched(RAW, "datatype", 128), "unsupported_type"),
    "float128": (patched(RAW, "datatype", 1536), "unsupported_type"),
    "type 9999": (patched(RAW, "datatype", 9999), "unsupported_type"),
    "bitpix": (patched(RAW, "bitpix", 8), "bad_header"),
    "offset 0": (patched(RAW, "vox_offset", 0), "bad_header"),
    "offset nan": (patched(RAW, "vox_offset", np.nan), "bad_header"),
    "offset huge": (patched(RAW, "vox_offset", 1e12), "bad_header"),
    "offset negative": (patched(RAW, "vox_offset", -352), "bad_header"),
    "spacing 0": (patched(RAW, "pixdim", [1, 0, 1, 1, 0, 0, 0, 0]), "bad_spacing"),
    "spacing nan": (patched(RAW, "pixdim", [1, np.nan, 1, 1, 0, 0, 0, 0]), "bad_spacing"),
    "spacing 50": (as_bytes(image(affine=np.diag([50.0, 50, 50, 1]))), "bad_spacing"),
    "spacing 1e-9": (as_bytes(image(affine=np.diag([1e-9, 1, 1, 1]))), "bad_spacing"),
    "contradiction": (sform_patched(np.diag([2.0, 2, 2, 1])), "bad_spacing"),
    "affine singular": (sform_patched(SINGULAR), "bad_affine"),
    "affine zero": (sform_patched(np.zeros((4, 4))), "bad_affine"),
    "affine nan": (sform_patched(np.full((4, 4), np.nan)), "bad_affine"),
    "affine infinite": (sform_patched(np.full((4, 4), np.inf)), "bad_affine"),
    "affine sheared": (sform_patched(SHEARED), "bad_affine"),
    "inter nan": (patched(patched(RAW, "scl_slope", 2), "scl_inter", np.nan), "bad_header"),
    "values nan": (as_bytes(image(nan)), "not_finite"),
    "values infinite": (as_bytes(image(infinite)), "not_finite"),
    "slope overflows": (patched(patched(RAW, "scl_slope", 3e38), "scl_inter", 3e38), "not_finite"),
    "constant": (as_bytes(image(np.full((35, 50, 35), 7.0))), "constant"),
    "constant by scaling": (patched(patched(RAW, "scl_slope", 1e-30), "scl_inter", 5), "constant"),
    "labels": (label_map(2), "label_map"),
    "many labels": (label_map(60), "label_map"),
}  # fmt: skip


PACKED = {
    f"{name}, gzipped": (gzip.compress(content), code)
    for name, (content, code) in BAD.items()
    if not content.startswith(b"\x1f\x8b")
}


@pytest.mark.parametrize(
    ("content", "code"), [*BAD.values(), *PACKED.values()], ids=[*BAD, *PACKED]
)
def test_bad_input_gets_a_stable_code_a_reason_and_a_hint(content, code, tmp_path):
    with pytest.raises(InputError) as refused, vetted(stream(content), tmp_path) as file:
        load(file)
    assert refused.value.code == code
    assert len(refused.value.message) > 10
    assert len(refused.value.hint) > 10
    assert str(tmp_path) not in refused.value.message + refused.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_real_image_with_few_grey_values_is_no_label_map(tmp_path):
    from tests.scans import example

    scan = np.asarray(example().dataobj)
    grey = (scan / scan.max() * 255).astype(np.uint8)
    with vetted(stream(as_bytes(image(grey))), tmp_path) as file:
        assert load(file).data.shape == grey.shape


def test_some_nan_is_read_as_background_and_said(tmp_path):
    values = noise()
    values[:3] = np.nan
    with vetted(stream(as_bytes(image(values))), tmp_path) as file:
        volume = load(file)
    assert np.isfinite(volume.data).all()
    assert "not_finite_voxels" in [f.code for f in volume.findings]


MEMORY_SCRIPT = """
import io, json, resource, sys
from pathlib import Path
from core.errors import InputError
from core.image.intake import vetted
from core.image.volume import load
content = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
code = None
try:
    with vetted(io.BytesIO(content), Path(sys.argv[1])) as file:
        load(file)
except InputError as error:
    code = error.code
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"code": code, "grew_kib": after - before}))
"""


def bomb(header: bytes, mebibytes: int) -> bytes:
    """A gzip of a header and zeros: one mebibyte is packed, and what that gave is repeated."""
    zeros = bytes(2**20)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    parts = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    parts.append(packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH))
    parts.append((packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)) * mebibytes)
    check = zlib.crc32(header)
    for _ in range(mebibytes):
        check = zlib.crc32(zeros, check)
    size = (len(header) + len(zeros) * mebibytes) % 2**32
    parts += [packer.flush(), struct.pack("<II", check, size)]
    return b"".join(parts)


BOMBS = {
    "zeros behind a small image": (lambda: bomb(RAW, 1024), "bad_header"),
    "zeros as a header": (lambda: bomb(b"", 1024), "not_nifti"),
    "a head of zeros": (lambda: bomb(dims(512, 512, 512)[:352], 512), "constant"),
    "a head too large": (lambda: bomb(dims(513, 512, 512)[:352], 513), "too_large"),
    "an extension of zeros": (
        lambda: bomb(patched(RAW, "vox_offset", 2.0**30)[:352], 1024),
        "bad_header",
    ),
    "empty gzip members": (
        lambda: gzip.compress(RAW[:352]) + gzip.compress(b"") * 200_000,
        "corrupt_gzip",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_gzip_bomb_costs_no_memory(name, tmp_path):
    make, code = BOMBS[name]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, str(tmp_path)],
        input=make(), capture_output=True, cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["code"] == code
    assert answer["grew_kib"] < 40_000


@pytest.mark.parametrize(
    ("seed", "count"), [(7, 600), pytest.param(8, 6000, marks=pytest.mark.long)]
)
def test_random_headers_never_raise_anything_else(seed, count, tmp_path):
    """Mutated headers: refused, or a volume whose geometry nibabel shares."""
    rng = np.random.default_rng(seed)
    scan = as_bytes(image(noise((20, 22, 24), np.int16)))
    accepted = 0
    for _ in range(count):
        raw = bytearray(scan)
        for _ in range(rng.integers(1, 6)):
            raw[rng.integers(0, 352)] = rng.integers(0, 256)
        try:
            with vetted(stream(bytes(raw)), tmp_path) as file:
                volume = load(file)
        except InputError:
            continue
        accepted += 1
        again = nib.Nifti1Image.from_bytes(
            file.header.clean_prefix() + bytes(file.header.data_bytes)
        )
        assert again.shape == file.header.shape
        assert np.allclose(again.affine, file.header.affine)
        assert np.isfinite(volume.data).all()
    assert 0.03 < accepted / count < 0.97

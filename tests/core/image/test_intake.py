import gzip
import hashlib

import pytest
from nibabel.nifti1 import Nifti1Extension

from core import limits
from core.errors import InputError, StorageError, TooLargeError
from core.image.intake import vetted
from tests.scans import as_bytes, image, stream

RAW = as_bytes(image())


def kept(content: bytes, folder, **options) -> bytes:
    with vetted(stream(content), folder, **options) as file:
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.size_bytes == len(content)
        return file.path.read_bytes()


def test_plain_and_compressed_files_give_the_same_private_copy(tmp_path):
    assert kept(RAW, tmp_path) == kept(gzip.compress(RAW), tmp_path)


def test_a_file_in_several_gzip_blocks_is_read(tmp_path):
    blocks = b"".join(gzip.compress(RAW[i : i + 60_000]) for i in range(0, len(RAW), 60_000))
    assert kept(blocks, tmp_path) == kept(RAW, tmp_path)


def test_extensions_are_not_kept(tmp_path):
    secret = b"DOE^JANE" * 100
    scan = image()
    scan.header.extensions.append(Nifti1Extension("comment", secret))
    copy = kept(as_bytes(scan), tmp_path)
    assert b"DOE^JANE" not in copy
    assert copy == kept(RAW, tmp_path)


def test_the_private_copy_is_gone_afterwards(tmp_path):
    kept(RAW, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 1, 100, 347, 351, 352, 5000, len(RAW) - 1])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_that_was_cut_off_is_refused_and_nothing_is_kept(length, pack, tmp_path):
    with pytest.raises(InputError) as refused:
        kept(pack(RAW[:length]), tmp_path)
    assert refused.value.code in {"empty_file", "not_nifti", "truncated"}
    assert list(tmp_path.iterdir()) == []


def test_a_gzip_file_that_was_cut_off_is_refused(tmp_path):
    packed = gzip.compress(RAW)
    for length in (15, len(packed) // 2, len(packed) - 1):
        with pytest.raises(InputError) as refused:
            kept(packed[:length], tmp_path)
        assert refused.value.code == "truncated"


def test_a_damaged_gzip_file_is_refused(tmp_path):
    packed = bytearray(gzip.compress(RAW))
    packed[-6] ^= 0xFF  # the checksum
    with pytest.raises(InputError) as refused:
        kept(bytes(packed), tmp_path)
    assert refused.value.code == "corrupt_gzip"


def test_a_file_over_the_limit_is_refused(tmp_path):
    with pytest.raises(TooLargeError):
        kept(RAW, tmp_path, max_bytes=len(RAW) - 1)


def test_more_data_than_declared_is_refused(tmp_path):
    with pytest.raises(InputError) as refused:
        kept(RAW + bytes(2**21), tmp_path)
    assert refused.value.code == "bad_header"


def test_a_little_padding_is_accepted(tmp_path):
    assert kept(RAW + bytes(512), tmp_path) == kept(RAW, tmp_path)


def words(content: bytes, folder) -> dict[str, str]:
    with vetted(stream(content), folder) as file:
        return {finding.code: finding.level for finding in file.header.findings}


def test_gzip_in_gzip_is_read_and_told(tmp_path):
    twice = gzip.compress(gzip.compress(RAW))
    assert kept(twice, tmp_path) == kept(RAW, tmp_path)
    assert words(twice, tmp_path)["compressed_twice"] == "note"
    assert "compressed_twice" not in words(gzip.compress(RAW), tmp_path)


def test_gzip_in_gzip_in_gzip_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="gzip in gzip") as refused:
        kept(gzip.compress(gzip.compress(gzip.compress(RAW))), tmp_path)
    assert refused.value.code == "gzip_in_gzip"


def test_an_inner_file_over_the_limit_is_refused(tmp_path):
    # Blocks without content: they inflate to nothing, for as long as one likes.
    empty = gzip.compress(b"", mtime=0)[:10] + b"\x00\x00\x00\xff\xff" * 10**6
    with pytest.raises(TooLargeError):
        kept(gzip.compress(empty), tmp_path, max_bytes=2**20)


@pytest.mark.parametrize("behind", [b"\r\n", b"\n", b"\0" * 512, b" \n\0\r\n", b"\x1a"])
def test_a_line_end_or_padding_behind_the_stream_is_passed_over(behind, tmp_path):
    content = gzip.compress(RAW) + behind
    assert kept(content, tmp_path) == kept(RAW, tmp_path)
    assert "bytes_behind" not in words(content, tmp_path)


@pytest.mark.parametrize(("count", "level"), [(1, "note"), (7, "note"), (3 * 2**20, "warning")])
def test_other_bytes_behind_the_stream_are_left_out_and_told(count, level, tmp_path):
    content = gzip.compress(RAW) + b"x" * count
    assert kept(content, tmp_path) == kept(RAW, tmp_path)
    assert words(content, tmp_path)["bytes_behind"] == level


def test_a_disk_that_is_nearly_full_is_told_before_anything_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "KEEP_FREE_MIB", 2**40)
    with pytest.raises(StorageError) as refused:
        kept(RAW, tmp_path)
    assert refused.value.code == "disk_full"
    assert list(tmp_path.iterdir()) == []

"""Files that are kept on the disk for the viewer."""

import errno
import os

import pytest

from app.viewer.kept import KeptFiles
from core.errors import SettingsError, StorageError


def content(kept, case_id):
    with kept.opened(case_id, "a", lambda to: to.write_bytes(case_id.encode())) as file:
        return file.read()


def test_somebodys_own_folder_is_refused_and_not_emptied(tmp_path):
    (tmp_path / "viewed" / "photos").mkdir(parents=True)
    (tmp_path / "viewed" / "photos" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(SettingsError, match="would be removed"):
        KeptFiles(tmp_path / "viewed", 1)
    assert (tmp_path / "viewed" / "photos" / "a.jpg").read_bytes() == b"mine"


def test_what_a_server_left_is_cleared(tmp_path):
    assert content(KeptFiles(tmp_path / "viewed", 9), "HV-A") == b"HV-A"
    assert KeptFiles(tmp_path / "viewed", 9).case_ids() == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    kept = KeptFiles(tmp_path / "viewed", 9)

    def full(to):
        to.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="disk of the storage is full"):
        kept.opened("HV-A", "a", full)
    assert list((tmp_path / "viewed" / "HV-A").iterdir()) == []
    assert content(kept, "HV-A") == b"HV-A"


def test_a_file_that_makes_room_is_read_to_its_end_all_the_same(tmp_path):
    kept = KeptFiles(tmp_path / "viewed", 1)
    with kept.opened("HV-A", "a", lambda to: to.write_bytes(b"whole")) as file:
        assert content(kept, "HV-B") == b"HV-B"
        assert kept.case_ids() == ["HV-B"]
        assert file.read() == b"whole"


def test_what_was_made_for_a_case_that_is_forgotten_goes_from_other_cases_folders_too(tmp_path):
    """An earlier scan laid onto a later one lies with the earlier: its name has the later's id."""
    kept = KeptFiles(tmp_path / "viewed", 99)
    earlier, gone = "HV-AAAAAA", "HV-BBBBBB"
    for name in (f"move-{gone}.json", f"scan-onto-{gone}.nii.gz", f"mask-onto-{gone}-0.nii.gz"):
        kept.opened(earlier, name, lambda to: to.write_bytes(b"x")).close()
    kept.opened(earlier, "scan.nii.gz", lambda to: to.write_bytes(b"x")).close()
    assert kept.case_ids() == [earlier, gone]  # also where it has no folder of its own
    kept.forget(gone)
    assert kept.case_ids() == [earlier]
    assert [path.name for path in (tmp_path / "viewed").rglob("*.*")] == ["scan.nii.gz"]

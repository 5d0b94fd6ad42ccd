import pytest

from app.services import empty_incoming
from core.errors import SettingsError
from core.state.database import DATABASE_NAME


def test_only_what_a_server_of_ours_left_is_removed(tmp_path):
    (tmp_path / "incoming" / "folder").mkdir(parents=True)
    (tmp_path / "incoming" / "patient.nii").write_bytes(b"the only copy")
    for unpacked in ("dicom-a1", "pacs-b2"):
        (tmp_path / "incoming" / unpacked).mkdir()
        (tmp_path / "incoming" / unpacked / "000000").write_bytes(b"a slice")
    with pytest.raises(SettingsError, match="not of this server"):
        empty_incoming(tmp_path)
    assert (tmp_path / "incoming" / "patient.nii").is_file()
    (tmp_path / DATABASE_NAME).touch()
    assert [p.name for p in empty_incoming(tmp_path)[0].iterdir()] == ["folder"]

"""After *Forget this patient* an installation, and a backup of it, hold nothing of the patient.

`tests/core/training/test_forgetting.py` has what is made of cases one by one; here a server's parts
have made it themselves, of real scans.
"""

import gzip
import hashlib
import io
import shutil
import sqlite3
import zlib
from contextlib import suppress

import numpy as np
import pytest

from app.operations import write_report_if_due
from app.services import build_services
from app.viewer.displays import Displays
from core.cases.study import Study, type_study
from core.people.acting import SERVER, acting_as
from core.people.audit_verify import verify
from core.pipeline import Caller
from core.references.group import LEAST_PEOPLE, OUR_PROTOCOL, Group, Person
from core.references.groups import References
from core.settings import Settings
from core.state.database import DATABASE_NAME
from tests.scans import as_bytes, example, image, template_head

WHO, NAME, SAID = "ZYX-PSEUDONYM-77", "Quaxlmoser knee", "Quaxlmoser moved"


def contents(folder):
    """Every name and content below a folder, unpacked too."""
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder)), str(path.relative_to(folder)).encode()
        if path.is_file():
            data = path.read_bytes()
            yield str(path.relative_to(folder)), data
            with suppress(OSError, EOFError, zlib.error):
                yield f"{path.relative_to(folder)}, unpacked", gzip.decompress(data)


def traces(folder, words):
    return sorted(
        {(where, word[:24]) for where, data in contents(folder) for word in words if word in data}
    )


@pytest.mark.long
def test_a_whole_installation_and_its_backup_hold_nothing_of_a_forgotten_patient(tmp_path):
    data = tmp_path / "var"
    shared = build_services(Settings(data_dir=data, drift_report="weekly"))
    shared.predictors.load(before=shared.registry.prepare)
    head = template_head()
    own = np.asarray(head.dataobj)[::2, ::2, ::2] + 1
    scans = [
        as_bytes(image(np.asarray(example().dataobj) * 2 + 7, example().affine)),
        as_bytes(image(own.astype(np.int16), head.affine @ np.diag([2, 2, 2, 1]))),
    ]
    with acting_as(SERVER):
        shared.cases.import_from_storage()
        crop, upright = (
            shared.segment_and_keep(io.BytesIO(scan), f"{NAME}.nii", Caller(), WHO).id
            for scan in scans
        )
        other = shared.segment_and_keep(io.BytesIO(as_bytes(example())), "o.nii", Caller(), "P").id
        grid = shared.cases.images(crop).shape
        drawn = np.zeros(grid, np.uint8)
        drawn[10:14, 10:20, 10:14], drawn[14:18, 10:20, 10:14] = 1, 2
        packed = gzip.compress(drawn.tobytes(order="F"), 1, mtime=0)
        shared.corrections.drafts.keep(crop, "v" * 8, packed, 0)
        shared.corrections.save(crop, packed, base=0, author="A", comment=SAID)
        shared.cases.review(crop, "rejected", "A", SAID)
        type_study(shared.cases.acts, upright, Study("2024-05-02", "F", 71))
        for case_id, version in ((crop, 1), (upright, 0), (other, 0)):
            shared.viewer_files.prepare(case_id, version)
        Displays(shared.viewer_files).scan(upright, "upright").file.close()
        (data / "viewed" / upright / "picture.png").write_bytes(
            shared.viewer_files.picture(upright, 0, 1, 5, "radiological", 0.5)
        )
        people = [Person(60.0 + n, "F", 2000.0 + n, 2100.0, upright) for n in range(LEAST_PEOPLE)]
        References(shared.storage, shared.cases.guard).add(
            Group("", "Ours", OUR_PROTOCOL, "Cases", tuple(people)), "A"
        )
        shared.drift.tick()
        write_report_if_due(shared)
        shared.archive.copy()
        voxels = [np.asarray(shared.cases.images(c).voxels.read_float32()) for c in (crop, upright)]
        words = [
            *(word.encode() for word in (WHO, NAME, SAID, crop, upright)),
            *(hashlib.sha256(scan).hexdigest().encode() for scan in scans),
            *(scan[len(scan) // 2 :][:200] for scan in scans),
            *(v.astype(np.float32).tobytes(order="F")[v.size * 2 :][:200] for v in voxels),
            drawn.tobytes(order="F"),
        ]
        found = traces(data, words)
        assert {word for _, word in found} >= {word[:24] for word in words[:9]}
        print(f"{len(found)} traces before")
        receipt = shared.forget_patient(WHO)
        shared.archive.copy()
    assert receipt.cases == tuple(sorted((crop, upright)))
    shutil.copytree(data, tmp_path / "backup")
    with sqlite3.connect(data / DATABASE_NAME) as source:
        source.backup(sqlite3.connect(tmp_path / "backup" / "again.sqlite"))
    assert traces(tmp_path, words) == []
    with acting_as(SERVER):
        assert shared.cases.get(other).patient == "P"
        assert verify(shared.cases.acts.engine, shared.storage).faults == []
    shared.shadow.close()
    shared.predictors.close()

"""Orthanc (Debian's) with its DICOMweb plugin on loopback, and a way to it that ends it midway."""

import base64
import io
import json
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tests.server import free_port
from tests.waiting import until

USER, PASSWORD = "hippoview", "a secret of this test"
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class Orthanc:
    """One Orthanc; its data stays where it is when it is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}/dicom-web"
        folder.mkdir()
        configuration = {
            "Name": "test", "StorageDirectory": str(folder), "IndexDirectory": str(folder),
            "HttpPort": self._port, "DicomServerEnabled": False, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD},
            "Plugins": [str(_PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(configuration))

    def start(self) -> None:
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                ["Orthanc", str(self._folder / "orthanc.json")], stdout=log, stderr=log
            )
        until(self._answers, 60, 0.1)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            self.call("/system")
        except OSError:
            return False
        return True

    def call(self, path: str, data: bytes | None = None) -> object:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data)
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    if shutil.which("Orthanc") is None or not _PLUGIN.is_file():
        pytest.skip("no Orthanc here: apt-get install orthanc orthanc-dicomweb")
    orthanc = Orthanc(folder)
    orthanc.start()
    try:
        yield orthanc
    finally:
        orthanc.kill()


@contextmanager
def ending(
    target: str, end: Callable[[], None], *, sent: int = -1, came: int = -1
) -> Iterator[str]:
    """A way to a server that calls ``end`` once, after so many bytes to it or from it; its URL."""
    host, port = target.split("/")[2].split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []
    ended = threading.Event()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            sockets.append(client)
            try:
                server = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            sockets.append(server)
            pairs = ((client, server, sent), (server, client, came))
            for pair in pairs:
                threads.append(threading.Thread(target=relay, args=pair))
                threads[-1].start()

    def relay(one: socket.socket, other: socket.socket, most: int) -> None:
        so_far = 0
        try:
            while chunk := one.recv(4096):
                so_far += len(chunk)
                if 0 <= most < so_far and not ended.is_set():
                    ended.set()
                    end()
                    break
                other.sendall(chunk)
        except OSError:
            pass
        for side in (one, other):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    acceptor = threading.Thread(target=serve)
    acceptor.start()
    try:
        yield target.replace(f"{host}:{port}", f"127.0.0.1:{listener.getsockname()[1]}")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()
        for side in sockets:
            side.close()


def slices(
    count: int, *, patient_id: str = "P-1", edge: int = 128, study: str = "", series: str = ""
) -> list[bytes]:
    """The files of one MR series of noise."""
    study, series, frame = study or generate_uid(), series or generate_uid(), generate_uid()
    noise = np.random.default_rng(1)
    return [_slice(k, study, series, frame, patient_id, edge, noise) for k in range(count)]


def _slice(
    k: int, study: str, series: str, frame: str, patient_id: str, edge: int,
    noise: np.random.Generator,
) -> bytes:  # fmt: skip
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dataset = FileDataset(file, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.PatientID, dataset.PatientName, dataset.Modality = patient_id, "Doe^Jane", "MR"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.FrameOfReferenceUID, dataset.StudyDate = frame, "20261130"
    dataset.AccessionNumber, dataset.StudyDescription = "A-7", "Head"
    dataset.SeriesDescription, dataset.SeriesNumber, dataset.InstanceNumber = "T1", 3, k + 1
    dataset.Rows = dataset.Columns = edge
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, k]
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 1
    dataset.PixelData = noise.integers(0, 4096, (edge, edge), np.uint16).tobytes()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()

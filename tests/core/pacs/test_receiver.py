"""Studies come by C-STORE from dcmtk's storescu; the inbox by a clock of the test."""

import errno
import io
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from core import limits
from core.errors import ConflictError, PacsError, SettingsError, StorageError
from core.pacs.inbox import Inbox, Rule
from core.pacs.ready import ReadyStudies
from core.pacs.receiver import Peer, Receiver, peers_of
from core.settings import ROOT
from tests.orthanc import slices

QUIET_S = 30.0
T1 = Rule("MR", "*t1*")
HERE = Peer("SCANNER", "127.0.0.1")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Inbox]]:
    """Inboxes of one folder, each in place of the one before, as in processes one after another."""
    every: list[Inbox] = []

    def make(rule: Rule = T1, **more: int) -> Inbox:
        if every:
            every.pop().close()
        every.append(Inbox(tmp_path / "in", rule, QUIET_S, clock, **more))
        return every[0]

    yield make
    for inbox in every:
        inbox.close()


@pytest.fixture
def ready(tmp_path: Path) -> ReadyStudies:
    return ReadyStudies(tmp_path / "in")


def fill(inbox: Inbox, count: int = 3, study: str = "1.2") -> None:
    for number, file in enumerate(slices(count)):
        inbox.add(study, f"1.2.{number}", file)


def test_a_study_is_ready_once_nothing_of_it_came_for_a_while(opened, clock, ready):
    inbox = opened()
    fill(inbox)
    clock.now_s += QUIET_S - 1
    inbox.add("1.2", "1.2.99", slices(1)[0])
    clock.now_s += QUIET_S - 1
    assert inbox.settle() == []
    clock.now_s += 1
    (study,) = inbox.settle()
    assert ready.studies() == [study]
    assert len(list(study.iterdir())) == 4
    assert inbox.settle() == []
    assert [ready.begin(study), ready.begin(study)] == [1, 2]
    ready.end(study)
    assert ready.begin(study) == 1
    ready.remove(study)
    assert ready.studies() == []
    assert list(ready.folder.iterdir()) == []


def test_only_one_process_receives(opened, tmp_path):
    inbox = opened()
    with pytest.raises(ConflictError):
        Inbox(tmp_path / "in", T1, QUIET_S)
    fill(inbox)


def test_what_comes_later_of_the_same_study_is_a_study_of_its_own(opened, clock, ready):
    inbox = opened()
    for _ in range(2):
        fill(inbox)
        clock.now_s += QUIET_S
        inbox.settle()
    assert len(ready.studies()) == 2


@pytest.mark.parametrize(
    ("rule", "taken"),
    [(Rule("MR", "*T1*"), 1), (Rule("MR", "t1"), 1), (Rule("", ""), 1),
     (Rule("CT", ""), 0), (Rule("MR", "*flair*"), 0)],
)  # fmt: skip
def test_the_rule_chooses_and_the_rest_is_not_kept(opened, clock, tmp_path, rule, taken):
    inbox = opened(rule)
    fill(inbox)
    inbox.add("1.2", "no", b"no DICOM")
    clock.now_s += QUIET_S
    assert len(inbox.settle()) == taken
    assert len(list((tmp_path / "in").rglob("*.dcm"))) == 3 * taken


def test_a_full_inbox_refuses_and_keeps_nothing_of_the_file(opened, tmp_path):
    inbox = opened(most_studies=1)
    fill(inbox, 1)
    with pytest.raises(PacsError):
        fill(inbox, 1, "1.3")
    small = opened(most_bytes=40_000)
    with pytest.raises(PacsError):
        fill(small, 3)
    assert len(list((tmp_path / "in").rglob("*.*"))) == 1


def test_the_next_process_goes_on_with_what_it_finds(opened, clock, ready):
    fill(opened())
    clock.now_s += QUIET_S
    after = opened()
    assert after.settle() == []  # it may still be coming
    clock.now_s += QUIET_S
    (study,) = after.settle()
    opened()
    assert ready.studies() == [study]


@contextmanager
def receiving(inbox: Inbox, *peers: Peer) -> Iterator[int]:
    receiver = Receiver(inbox, "HIPPOVIEW", peers or (HERE,))
    port = receiver.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        receiver.stop()


def storescu(port: int, folder: Path, *more: str, called: str = "HIPPOVIEW") -> bool:
    """Send a folder; whether all of it was taken."""
    program = shutil.which("storescu")
    if program is None:
        pytest.skip("no storescu here: apt-get install dcmtk")
    command = [program, "-aet", "SCANNER", "-aec", called, *more, "+sd", "127.0.0.1", str(port)]
    done = subprocess.run([*command, str(folder)], capture_output=True, timeout=60)
    return done.returncode == 0


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    folder = tmp_path / "sent"
    folder.mkdir()
    for number, file in enumerate(slices(5)):
        (folder / f"{number}.dcm").write_bytes(file)
    return folder


def test_a_study_from_storescu_arrives_as_it_was_sent(opened, clock, sent):
    inbox = opened()
    with receiving(inbox) as port:
        assert storescu(port, sent)
    clock.now_s += QUIET_S
    (study,) = inbox.settle()
    pixels = [{dcmread(p).SOPInstanceUID: dcmread(p).PixelData for p in f.iterdir()}
              for f in (sent, study)]  # fmt: skip
    assert pixels[0] == pixels[1]


def test_only_peers_are_heard(opened, sent, tmp_path):
    inbox = opened()
    with receiving(inbox) as port:
        assert not storescu(port, sent, called="OTHER")
    with receiving(inbox, Peer("PACS", "127.0.0.1")) as port:
        assert not storescu(port, sent)
    with receiving(inbox, Peer("SCANNER", "10.0.0.5")) as port:
        assert not storescu(port, sent)
    assert list((tmp_path / "in").rglob("*.dcm")) == []


def test_a_stranger_takes_no_connection_and_no_memory(opened, sent):
    with receiving(opened(), Peer("SCANNER", "10.0.0.5")) as port:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.settimeout(5)
                with suppress(ConnectionError):
                    assert stranger.recv(1) == b""


def _reactors() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "run_reactor" in thread.name]


def test_a_peer_that_says_nothing_over_tls_keeps_nobody_out_for_long(opened, tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=scp", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setattr("core.pacs.receiver._HANDSHAKE_S", 0.3)
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate, key)
    receiver = Receiver(opened(), "HIPPOVIEW", [HERE])
    port = receiver.start("127.0.0.1", 0, own)
    other = ssl.create_default_context(cafile=certificate)
    other.check_hostname = False
    try:
        with (
            socket.create_connection(("127.0.0.1", port)),
            socket.create_connection(("127.0.0.1", port), timeout=5) as scanner,
            other.wrap_socket(scanner) as heard,
        ):
            assert heard.version() is not None
            while not _reactors():
                time.sleep(0.05)
        while _reactors():  # pynetdicom cannot stop one that begins
            time.sleep(0.05)
    finally:
        receiver.stop()


def test_a_file_without_end_is_cut_off(opened, sent, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "RECEIVED_FILE_BYTES", 20_000)
    with receiving(opened()) as port:
        assert not storescu(port, sent)
    assert list((tmp_path / "in").rglob("*.dcm")) == []


_PROCESS = """
import sys, time
from pathlib import Path
from core.pacs.inbox import Inbox, Rule
from core.pacs.ready import ReadyStudies
from core.pacs.receiver import Peer, Receiver
inbox = Inbox(Path(sys.argv[1]), Rule(), 3600)
receiver = Receiver(inbox, "HIPPOVIEW", [Peer("SCANNER", "127.0.0.1")])
print(receiver.start("127.0.0.1", 0), flush=True)
sys.stdin.read()
"""


def test_a_receiver_that_is_killed_loses_nothing_that_it_took(opened, clock, sent, tmp_path):
    command = [sys.executable, "-c", _PROCESS, str(tmp_path / "in")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert storescu(int(process.stdout.readline()), sent)
        process.send_signal(signal.SIGKILL)
    inbox = opened()
    clock.now_s += QUIET_S
    (study,) = inbox.settle()
    assert len(list(study.iterdir())) == 5


def test_peers_are_read_from_the_setting():
    assert peers_of("SCANNER@127.0.0.1, PACS@10.0.0.6") == [HERE, Peer("PACS", "10.0.0.6")]
    for wrong in ("", "SCANNER", "@1.2.3.4", "PACS@pacs.local", "A-TITLE-THAT-IS-TOO-LONG@1.2.3.4"):
        with pytest.raises(SettingsError):
            peers_of(wrong)


def _with_modality(vr: bytes, value: bytes) -> bytes:
    """A file of one element, as a broken or hostile sender writes it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, "9.9.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    head = io.BytesIO()
    write_file_meta_info(head, meta)
    size = len(value).to_bytes(2, "little")
    return bytes(128) + b"DICM" + head.getvalue() + b"\x08\x00\x60\x00" + vr + size + value


@pytest.mark.parametrize("hostile", [(b"ZZ", b"MR"), (b"US", b"abc"), (b"AT", b"abc")])
def test_a_file_that_cannot_be_read_is_dropped_and_holds_up_nobody(opened, clock, ready, hostile):
    inbox = opened(Rule())
    inbox.add("9.9", "9.9.1", _with_modality(*hostile))
    fill(inbox)
    clock.now_s += QUIET_S
    (study,) = inbox.settle()
    assert len(list(study.iterdir())) == 3


def test_a_part_of_a_study_is_none(opened, clock, ready, monkeypatch):
    """The disk was full for a while: half a head is no head; sent again, it is one."""
    inbox, whole = opened(), slices(4)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    def send(first: int, last: int) -> None:
        for number in range(first, last):
            inbox.add("1.2", f"1.2.{number}", whole[number])

    send(0, 2)
    with monkeypatch.context() as patched:
        patched.setattr("core.pacs.inbox.write_whole", full)
        with pytest.raises(StorageError):
            send(2, 3)
    send(3, 4)
    clock.now_s += QUIET_S
    assert inbox.settle() == []
    assert ready.studies() == []
    with monkeypatch.context() as patched:
        patched.setattr("core.pacs.inbox.write_whole", full)
        with pytest.raises(StorageError):
            send(2, 3)
    send(0, 4)
    clock.now_s += QUIET_S
    (study,) = inbox.settle()
    assert len(list(study.iterdir())) == 4

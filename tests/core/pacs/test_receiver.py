"""Studies come by C-STORE from dcmtk's storescu; the inbox by a clock of the test."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from core import limits
from core.errors import PacsError, SettingsError
from core.pacs.inbox import Inbox, Rule
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
def opened(tmp_path: Path, clock: Clock) -> Callable[..., Inbox]:
    return lambda rule=T1, **more: Inbox(tmp_path / "in", rule, QUIET_S, clock, **more)


def fill(inbox: Inbox, count: int = 3, study: str = "1.2") -> None:
    for number, file in enumerate(slices(count)):
        inbox.add(study, f"1.2.{number}", file)


def test_a_study_is_ready_once_nothing_of_it_came_for_a_while(opened, clock):
    inbox = opened()
    fill(inbox)
    clock.now_s += QUIET_S - 1
    inbox.add("1.2", "1.2.99", slices(1)[0])
    clock.now_s += QUIET_S - 1
    assert inbox.settle() == []
    clock.now_s += 1
    (study,) = inbox.settle()
    assert inbox.ready() == [study]
    assert len(list(study.iterdir())) == 4
    assert inbox.settle() == []
    inbox.remove(study)
    assert inbox.ready() == []


def test_what_comes_later_of_the_same_study_is_a_study_of_its_own(opened, clock):
    inbox = opened()
    for _ in range(2):
        fill(inbox)
        clock.now_s += QUIET_S
        inbox.settle()
    assert len(inbox.ready()) == 2


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


def test_the_next_process_goes_on_with_what_it_finds(opened, clock):
    fill(opened())
    clock.now_s += QUIET_S
    after = opened()
    assert after.settle() == []  # it may still be coming
    clock.now_s += QUIET_S
    (study,) = after.settle()
    assert opened().ready() == [study]


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


def test_a_file_without_end_is_cut_off(opened, sent, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "PACS_SERIES_BYTES", 20_000)
    with receiving(opened()) as port:
        assert not storescu(port, sent)
    assert list((tmp_path / "in").rglob("*.dcm")) == []


_PROCESS = """
import sys, time
from pathlib import Path
from core.pacs.inbox import Inbox, Rule
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

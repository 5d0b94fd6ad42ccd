"""What an allowed peer cannot do to the receiver, and TLS; peers are pynetdicom and raw sockets."""

import io
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from core import limits
from core.commands.receive import tls_of
from core.pacs.inbox import Inbox, Rule
from core.pacs.receiver import Peer, Receiver
from core.settings import Settings
from tests.certificates import made_certificate
from tests.orthanc import slices
from tests.waiting import until

HERE = Peer("SCANNER", "127.0.0.1")
# Begins of PDUs: of a request for an association, and of data.
REQUEST, DATA = 1, 4
HUGE = 0xF0000000
# What comes at once takes its time on a machine with other work.
LONG_S = 240


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    made = Inbox(tmp_path / "in", Rule(), 3600)
    yield made
    made.close()


@contextmanager
def receiving(inbox: Inbox, tls: ssl.SSLContext | None = None) -> Iterator[tuple[Receiver, int]]:
    receiver = Receiver(inbox, "HIPPOVIEW", [HERE])
    port = receiver.start("127.0.0.1", 0, tls)
    try:
        yield receiver, port
    finally:
        receiver.stop()


@contextmanager
def peer(port: int, tls: ssl.SSLContext | None = None) -> Iterator[Any]:
    """An association; ended with the block."""
    scanner = AE("SCANNER")
    scanner.acse_timeout = scanner.dimse_timeout = scanner.network_timeout = LONG_S
    scanner.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = scanner.associate(
        "127.0.0.1", port, ae_title="HIPPOVIEW", tls_args=(tls, "127.0.0.1") if tls else None
    )  # fmt: skip
    wire = association.dul.socket and raw(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.abort()
        scanner.shutdown()
        if wire:  # pynetdicom leaves one open that the other end has closed
            wire.close()


def is_stored(association: Any, number: int) -> bool:
    """Whether a slice was sent and taken."""
    answer = association.send_c_store(dcmread(io.BytesIO(slices(number + 1)[number])))
    return bool(answer) and answer.Status == 0


def stored(folder: Path) -> int:
    return len(list(folder.rglob("*.dcm")))


def raw(association: Any) -> socket.socket:
    connection: socket.socket = association.dul.socket.socket
    return connection


def part_of_a_file(size: int) -> bytes:
    """Data without an end, in presentation context 1."""
    inner = struct.pack(">LBB", size + 2, 1, 0) + bytes(size)
    return struct.pack(">BBL", DATA, 0, len(inner)) + inner


def test_a_pdu_that_claims_gigabytes_ends_its_connection_before_it_is_read(inbox, tmp_path):
    with receiving(inbox) as (receiver, port):
        receiver._ae.acse_timeout = 1.0  # so long it waits for the other end to close, else 10 s
        with socket.create_connection(("127.0.0.1", port), timeout=LONG_S) as stranger:
            stranger.sendall(struct.pack(">BBL", REQUEST, 0, HUGE) + bytes(1000))
            with suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
        with peer(port) as association:
            raw(association).sendall(struct.pack(">BBL", DATA, 0, HUGE) + bytes(1000))
            until(lambda: not association.is_established)
        until(lambda: receiver.held == 0)
        with peer(port) as association:
            assert is_stored(association, 0)
    assert stored(tmp_path) == 1


def test_a_file_without_an_end_is_cut_off_at_the_limit(inbox, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "RECEIVED_FILE_BYTES", 100_000)
    with receiving(inbox) as (receiver, port):
        with peer(port) as association:
            for _ in range(9):
                raw(association).sendall(part_of_a_file(10_000))
            until(lambda: receiver.held > 90_000)
            assert association.is_established
            raw(association).sendall(part_of_a_file(10_000))
            until(lambda: not association.is_established)
        until(lambda: receiver.held == 0)
    assert stored(tmp_path) == 0


def test_all_connections_share_one_bound_and_what_is_stored_counts_no_more(
    inbox, tmp_path, monkeypatch
):
    monkeypatch.setattr(limits, "RECEIVED_BYTES", 60_000)
    with receiving(inbox) as (receiver, port):
        with peer(port) as first:
            raw(first).sendall(part_of_a_file(50_000))
            until(lambda: receiver.held > 50_000)
            with peer(port) as second:
                assert not is_stored(second, 0)
        until(lambda: receiver.held == 0)
        with peer(port) as third:
            assert all(is_stored(third, number) for number in range(5))
    assert stored(tmp_path) == 5


class Slow(Inbox):
    """Takes nothing until the test says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Rule(), 3600)
        self.may = threading.Event()

    def add(self, study_uid: str, instance_uid: str, file: bytes) -> None:
        assert self.may.wait(LONG_S)
        super().add(study_uid, instance_uid, file)


def test_a_peer_that_does_not_wait_for_answers_is_cut_off(tmp_path):
    inbox = Slow(tmp_path / "in")
    dataset = dcmread(io.BytesIO(slices(1)[0]))
    with receiving(inbox) as (_, port), peer(port) as association:
        for number in (1, 2):
            request = C_STORE()
            request.MessageID, request.Priority = number, 2
            request.AffectedSOPClassUID = dataset.SOPClassUID
            request.AffectedSOPInstanceUID = f"1.2.{number}"
            request.DataSet = io.BytesIO(encode(dataset, False, True) or b"")
            association.dimse.send_msg(request, 1)
        until(lambda: not association.is_established)
        inbox.may.set()
        until(lambda: stored(tmp_path) == 1)
    inbox.close()


def test_with_tls_the_receiver_hears_peers_that_the_authority_knows_and_nobody_in_plain(
    inbox, tmp_path
):
    server, scanner = (made_certificate(tmp_path, name) for name in ("receiver", "scanner"))
    own = tls_of(Settings(
        data_dir=tmp_path, receiver_certificate=str(server[0]), receiver_key=str(server[1]),
        receiver_ca=str(scanner[0]),
    ))  # fmt: skip
    known, unknown = (ssl.create_default_context(cafile=server[0]) for _ in range(2))
    known.load_cert_chain(*scanner)
    with receiving(inbox, own) as (_, port):
        with peer(port) as plain:
            assert not plain.is_established
        with peer(port, unknown) as nameless:
            assert not nameless.is_established
        with peer(port, known) as association:
            assert is_stored(association, 0)
            assert raw(association).version() in ("TLSv1.2", "TLSv1.3")
    assert stored(tmp_path) == 1

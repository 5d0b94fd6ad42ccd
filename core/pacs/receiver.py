"""The receiver: modalities and archives send studies here by C-STORE."""

import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from core.errors import HippoViewError, SettingsError
from core.pacs.inbox import Inbox, header_of
from core.pacs.inflow import Inflow

# Of DICOM PS3.4 annex B.2.3 and PS3.7 annex C.
_DONE, _NO_ROOM, _NOT_ALLOWED, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0x0124, 0xC000
# What a peer has for the handshake of TLS (s).
_HANDSHAKE_S = 5.0
# Associations at once: an archive opens a few. And connections, some of which say nothing yet.
_ASSOCIATIONS, _CONNECTIONS = 10, 20
# What a peer has for the rest of a message part that it began (s).
_SILENCE_S = 60.0
# What a peer has to ask for an association, and to close one that was ended (s).
_CEREMONY_S = 10.0
# One of 1.4 MB takes 2.7 GB when it is read.
_SYNTAXES = [s for s in ALL_TRANSFER_SYNTAXES if s != DeflatedExplicitVRLittleEndian]


@dataclass(frozen=True)
class Peer:
    """Who may send: its AE title, and its IP address."""

    title: str
    address: str


def peers_of(text: str) -> list[Peer]:
    """Peers as the setting has them: ``SCANNER1@10.0.0.5, PACS@10.0.0.6``.

    Raises
    ------
    SettingsError
    """
    peers = []
    for one in text.split(","):
        title, at, address = one.strip().partition("@")
        if not (at and _is_address(address) and 0 < len(title) <= 16 and title.isascii()):
            raise SettingsError(
                f"A peer of the receiver is {one.strip()!r}, expected TITLE@ADDRESS",
                "Write for example SCANNER1@10.0.0.5, PACS@10.0.0.6.",
            )
        peers.append(Peer(title, address))
    return peers


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class _Server(ThreadedAssociationServer):
    """Hears the peers' addresses alone; strangers would else take memory and all connections."""

    addresses: frozenset[str] = frozenset()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        listening: Any = self.socket
        client, address = listening.accept()
        if address[0] not in self.addresses or len(self.active_associations) >= _CONNECTIONS:
            client.close()
            raise ConnectionRefusedError  # socketserver goes on with the next one
        if self.ssl_context is not None:
            # Nobody else is heard meanwhile.
            client.settimeout(_HANDSHAKE_S)
            try:
                client = self.ssl_context.wrap_socket(client, server_side=True)
            except BaseException:
                client.close()
                raise
        client.settimeout(_SILENCE_S)
        return client, address

    def held(self) -> int:
        """Bytes that all connections hold in memory."""
        return sum(one.inflow.held for one in self.active_associations if hasattr(one, "inflow"))

    def shutdown(self) -> None:
        socketserver.TCPServer.shutdown(self)
        self.server_close()


class Receiver:
    """Takes studies into an inbox, from the peers alone.

    Parameters
    ----------
    inbox
    title
        AE title of this server; who calls another one is rejected.
    peers
    """

    def __init__(self, inbox: Inbox, title: str, peers: Sequence[Peer]) -> None:
        self._inbox = inbox
        self._peers = {(peer.title, peer.address) for peer in peers}
        self._ae = AE(ae_title=title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = [peer.title for peer in peers]
        self._ae.maximum_associations = _ASSOCIATIONS
        self._ae.acse_timeout = _CEREMONY_S
        self._ae.add_supported_context(Verification)
        for context in StoragePresentationContexts:
            self._ae.add_supported_context(str(context.abstract_syntax), _SYNTAXES)
        self._server: Any = None

    def start(self, address: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, on threads of its own; the port.

        Raises
        ------
        SettingsError
            The port is taken, or the address is not of this machine.
        """
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._opened), (evt.EVT_C_STORE, self._store),
            (evt.EVT_DIMSE_RECV, lambda event: event.assoc.inflow.came()),
            (evt.EVT_DIMSE_SENT, lambda event: event.assoc.inflow.answered()),
        ]  # fmt: skip
        try:
            self._server = self._ae.make_server(
                (address, port), ssl_context=tls, evt_handlers=handlers, server_class=_Server
            )
        except OSError as error:
            raise SettingsError(
                f"The receiver cannot listen on port {port}",
                "Choose another port, or end the program that has it.",
            ) from error
        self._server.addresses = frozenset(address for _, address in self._peers)
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        return int(self._server.server_address[1])

    @property
    def held(self) -> int:
        """Bytes that came and are neither stored nor refused."""
        return int(self._server.held())

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
        self._ae.shutdown()

    def _opened(self, event: Any) -> None:
        # pynetdicom's clock of a new association begins with 30 s, whatever was set.
        event.assoc.acse_timeout = self._ae.acse_timeout
        event.assoc.inflow = Inflow(event.assoc, self._server.held)

    def _store(self, event: Any) -> int:
        sender = event.assoc.requestor
        if (sender.ae_title, sender.address) not in self._peers:
            logger.warning("A sender with a peer's title and another address was refused")
            return _NOT_ALLOWED
        try:
            file = event.encoded_dataset()
            study_uid = str(header_of(file, "StudyInstanceUID").StudyInstanceUID)
            instance_uid = str(event.request.AffectedSOPInstanceUID)
            self._inbox.add(study_uid, instance_uid, file)
        except HippoViewError as error:
            logger.warning("A file was not received: {}", error.message)
            return _NO_ROOM
        except Exception:  # noqa: BLE001 - of whatever a stranger's bytes raise in the parser
            return _NOT_UNDERSTOOD
        return _DONE

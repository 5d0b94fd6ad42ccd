"""The receiver: modalities and archives send studies here by C-STORE."""

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from core import limits
from core.errors import HippoViewError, SettingsError
from core.pacs.inbox import Inbox

# Of DICOM PS3.4 annex B.2.3 and PS3.7 annex C.
_DONE, _NO_ROOM, _NOT_ALLOWED, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0x0124, 0xC000
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
        self._ae.maximum_associations = limits.RECEIVER_ASSOCIATIONS
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
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_DATA_RECV, self._count)]
        try:
            self._server = self._ae.start_server(
                (address, port), block=False, ssl_context=tls, evt_handlers=handlers
            )
        except OSError as error:
            raise SettingsError(
                f"The receiver cannot listen on port {port}",
                "Choose another port, or end the program that has it.",
            ) from error
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening."""
        self._ae.shutdown()

    def _count(self, event: Any) -> None:
        """End an association that sends more for one file than a study may have."""
        association = event.assoc
        association.unstored = getattr(association, "unstored", 0) + len(event.data)
        if association.unstored > limits.PACS_SERIES_BYTES:
            logger.warning("A peer sent a file that is too large: the connection was ended")
            association.abort()

    def _store(self, event: Any) -> int:
        event.assoc.unstored = 0
        sender = event.assoc.requestor
        if (sender.ae_title, sender.address) not in self._peers:
            logger.warning("A sender with a peer's title and another address was refused")
            return _NOT_ALLOWED
        try:
            study_uid = str(event.dataset.StudyInstanceUID)
            instance_uid = str(event.request.AffectedSOPInstanceUID)
            self._inbox.add(study_uid, instance_uid, event.encoded_dataset())
        except HippoViewError as error:
            logger.warning("A file was not received: {}", error.message)
            return _NO_ROOM
        except Exception:  # noqa: BLE001 - of whatever a stranger's bytes raise in the parser
            return _NOT_UNDERSTOOD
        return _DONE

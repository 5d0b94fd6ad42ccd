"""Bounds on what a peer of the receiver makes it hold in memory.

pynetdicom reads a PDU of whatever length its first bytes claim, 4 GiB at most, and keeps whatever
number of messages comes without waiting for answers; its `maximum_pdu_size` is only told to peers.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from loguru import logger

from core import limits


class Inflow:
    """What one connection has sent that is not stored; too much of it ends the connection.

    Parameters
    ----------
    association
        One that has not begun to read.
    all_held
        Gives the bytes that all connections hold.
    """

    def __init__(self, association: Any, all_held: Callable[[], int]) -> None:
        self._connection, self._all_held = association.dul.socket, all_held
        self._receive = self._connection.recv
        self._connection.recv = self._checked
        self._coming, self._unanswered, self._is_ended = 0, 0, False

    @property
    def held(self) -> int:
        """Bytes that this one holds."""
        return self._coming + self._unanswered

    def came(self) -> None:
        """A message is complete."""
        if self._unanswered:  # nothing else was agreed on
            self._end("sent a file before the last one was answered")
        self._coming, self._unanswered = 0, self._unanswered + self._coming

    def answered(self) -> None:
        """What came is stored, or refused."""
        self._unanswered = 0

    def _checked(self, count: int) -> bytearray:
        """Receive bytes; none where they would be too many, as if the peer had gone."""
        if self._is_ended:
            pass  # the system still has bytes that came before
        elif count > limits.RECEIVED_PDU_BYTES:
            self._end("sent a message part that is too large")
        elif self.held + count > limits.RECEIVED_FILE_BYTES:
            self._end("sent a file that is too large")
        elif self._all_held() + count > limits.RECEIVED_BYTES:
            self._end("sent a file while others took all room")
        else:
            self._coming += count
            return bytearray(self._receive(count))
        return bytearray()

    def _end(self, what: str) -> None:
        self._is_ended = True
        logger.warning("A peer {}: the connection was ended", what)
        with suppress(OSError, AttributeError):  # it may have gone
            self._connection.socket.shutdown(socket.SHUT_RDWR)

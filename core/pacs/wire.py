"""dicomweb-client, with bounds: it would retry, read answers of any size, and send in chunks."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import requests
from dicomweb_client.web import DICOMwebClient

from core import limits
from core.errors import GoneError, PacsError
from core.pacs.failures import refused

_CHUNK_BYTES = 64 * 1024
# Of an answer's end, in which its last boundary must be.
_TAIL_BYTES = 1024
_BOUNDARY = re.compile(r'boundary="?([^";]+)', re.IGNORECASE)
_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class Wire(DICOMwebClient):
    """DICOMweb over one session of HTTP.

    Parameters
    ----------
    url
        Root of the DICOMweb service.
    session
        Carries the credentials and the certificate authority.
    """

    def __init__(self, url: str, session: requests.Session) -> None:
        timeout_s = (limits.PACS_CONNECT_S, limits.PACS_ANSWER_S)
        super().__init__(url.rstrip("/"), session, timeout=timeout_s)
        self.set_chunk_size(_CHUNK_BYTES)

    def parts(self, path: str, most_bytes: int, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
        """The DICOM files of an answer, as they come.

        Parameters
        ----------
        path
            Below the root: ``studies/1.2/series/3.4``.
        most_bytes
            What the whole answer may have.
        on_bytes
            Called with the bytes so far; what it raises ends the transfer.

        Raises
        ------
        ConnectionError
            Of requests: the answer ends without its last boundary. Many servers give no length, so
            that a broken connection looks like an end; a part that is cut off is not given.
        """
        url = f"{self.base_url}/{path}"
        response = self._http_get(url, headers={"Accept": _DICOM}, stream=True)
        with response:
            read = response.iter_content
            named = _BOUNDARY.search(response.headers.get("Content-Type", ""))
            last_boundary = f"--{named[1]}--".encode() if named else b""
            tail = b""

            def counted(chunk_size: int = _CHUNK_BYTES) -> Iterator[bytes]:
                nonlocal tail
                so_far = 0
                for chunk in read(chunk_size):
                    tail = (tail + chunk)[-_TAIL_BYTES:]
                    so_far += len(chunk)
                    if so_far > most_bytes:
                        raise too_much(most_bytes)
                    on_bytes(so_far)
                    yield chunk

            response.iter_content = counted  # type: ignore[assignment,method-assign]
            waiting = None
            decoded = self._decode_multipart_message(response, stream=True)
            while True:
                try:
                    part = next(decoded, None)
                except ValueError:
                    if last_boundary in tail:
                        raise
                    part = None
                if part is None:
                    break
                if waiting is not None:
                    yield waiting
                waiting = bytes(part)
            if last_boundary not in tail:
                raise requests.ConnectionError("the answer ends before its last boundary")
            if waiting is not None:
                yield waiting

    def post(self, files: list[bytes]) -> Any:
        """Store DICOM files; the answer as a dataset."""
        return self._http_post_multipart_application_dicom(f"{self.base_url}/studies", files)

    def _http_get(
        self,
        url: str,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        # Orthanc takes what is escaped for itself.
        query = "?" + urlencode(params, doseq=True, quote_via=quote, safe="*,?") if params else ""
        response = self._session.get(
            url + query, headers=headers, stream=True, timeout=self._timeout, allow_redirects=False
        )
        return self._checked(response, is_whole=not stream)

    def _http_post(self, url: str, data: bytes, headers: dict[str, str]) -> requests.Response:
        # In one piece: some servers lose what comes in chunks.
        headers = headers | {"Accept": "application/dicom+json"}
        response = self._session.post(
            url, data=data, headers=headers, stream=True, timeout=self._timeout,
            allow_redirects=False,
        )  # fmt: skip
        return self._checked(response, is_answer_to_post=True)

    @staticmethod
    def _checked(
        response: requests.Response, *, is_whole: bool = True, is_answer_to_post: bool = False
    ) -> requests.Response:
        """An answer that is no failure, read within its limit."""
        try:
            if response.is_redirect:  # elsewhere nobody said that patients' data may go
                raise refused(response.status_code)
            is_conflict = response.status_code == requests.codes.conflict
            if not (is_answer_to_post and is_conflict):  # its body says what was refused
                response.raise_for_status()
            if is_whole:
                content = bytearray()
                for chunk in response.iter_content(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > limits.PACS_ANSWER_BYTES:
                        raise too_much(limits.PACS_ANSWER_BYTES)
                response._content = bytes(content)
        except BaseException:
            response.close()
            raise
        return response


def too_much(most_bytes: int) -> PacsError:
    """The error for an answer above a limit."""
    return PacsError(
        f"The PACS sent more than {most_bytes // limits.MIB:,} MiB",
        "Choose a series of one head, or narrow the search.",
        code="pacs_too_large",
    )


def gone() -> GoneError:
    """The error for a transfer that was cancelled."""
    return GoneError("The transfer was cancelled", "Nothing of it was kept.")

"""dicomweb-client, with bounds: it would retry, read answers of any size, and send in chunks."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import requests
from dicomweb_client.web import DICOMwebClient

from core import limits
from core.errors import GoneError, PacsError

_CHUNK_BYTES = 64 * 1024
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
        """
        url = f"{self.base_url}/{path}"
        response = self._http_get(url, headers={"Accept": _DICOM}, stream=True)
        with response:
            read = response.iter_content

            def counted(chunk_size: int = _CHUNK_BYTES) -> Iterator[bytes]:
                so_far = 0
                for chunk in read(chunk_size):
                    so_far += len(chunk)
                    if so_far > most_bytes:
                        raise too_much(most_bytes)
                    on_bytes(so_far)
                    yield chunk

            response.iter_content = counted  # type: ignore[assignment,method-assign]
            for part in self._decode_multipart_message(response, stream=True):
                yield bytes(part)

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
        # Orthanc takes an escaped * or comma for itself.
        query = "?" + urlencode(params, doseq=True, quote_via=quote, safe="*,^") if params else ""
        response = self._session.get(
            url + query, headers=headers, stream=True, timeout=self._timeout
        )
        try:
            response.raise_for_status()
            if not stream:
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

    def _http_post(self, url: str, data: bytes, headers: dict[str, str]) -> requests.Response:
        # In one piece: some servers lose what comes in chunks.
        headers = headers | {"Accept": "application/dicom+json"}
        response = self._session.post(url, data=data, headers=headers, timeout=self._timeout)
        if response.status_code != requests.codes.conflict:  # the body says what was refused
            response.raise_for_status()
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

"""What is said when the PACS fails; never with a patient's name, an id or an address."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from pydicom.errors import BytesLengthException, InvalidDicomError

from core.errors import PacsError
from core.state.failures import disk_error

# What a bad answer raises within dicomweb-client and pydicom.
_BAD_ANSWER = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, NotImplementedError,
    InvalidDicomError, BytesLengthException, requests.exceptions.ContentDecodingError,
)  # fmt: skip


@contextmanager
def in_words(hint: str) -> Iterator[None]:
    """Turn what goes wrong on the way to the PACS into a `PacsError`.

    Parameters
    ----------
    hint
        What to do when the connection broke off.
    """
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise refused(status) from error
    except requests.exceptions.SSLError as error:
        raise PacsError(
            "The certificate of the PACS is not trusted, or it does not speak TLS",
            "Name its certificate authority in HIPPOVIEW_PACS_CA, and check HIPPOVIEW_PACS_URL.",
            code="pacs_certificate",
        ) from error
    except requests.Timeout as error:
        raise PacsError("The PACS does not answer in time", hint, code="pacs_timeout") from error
    except _BAD_ANSWER as error:
        raise PacsError(
            "The answer of the PACS cannot be read as DICOMweb",
            "Check that HIPPOVIEW_PACS_URL is the root of its DICOMweb service.",
            code="pacs_answer",
        ) from error
    except requests.RequestException as error:
        raise PacsError("The connection to the PACS failed or broke off", hint) from error
    except OSError as error:
        raise disk_error(error) from error


def refused(status: int) -> PacsError:
    """The `PacsError` for a status of HTTP."""
    if status in (401, 403):
        return PacsError(
            "The PACS refuses the account of this server",
            "Check HIPPOVIEW_PACS_USER and HIPPOVIEW_PACS_PASSWORD, and its rights in the PACS.",
            code="pacs_denied",
        )
    if status == 404:
        return PacsError(
            "The PACS does not have this",
            "Search again: it may have been moved. If nothing is ever found, check "
            "HIPPOVIEW_PACS_URL.",
            code="pacs_missing",
        )
    return PacsError(
        f"The PACS refuses the request (HTTP {status})",
        "Try again; if it stays, the log of the PACS says why.",
        code="pacs_refused",
    )

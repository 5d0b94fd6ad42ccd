"""Whether a certificate and its key can be used, and for how long."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.errors import SettingsError
from core.settings import variable_of

# A renewal takes a hospital's administration some weeks.
SOON = timedelta(days=30)


def check_pair(certificate: str, key: str, names: tuple[str, str]) -> None:
    """Refuse a certificate that cannot be served with its key.

    Parameters
    ----------
    certificate, key
        Files (PEM).
    names
        Fields of the settings that name them, for the error.

    Raises
    ------
    SettingsError
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Without a password the key of a server that starts by itself: nobody is there to type it.
        context.load_cert_chain(certificate, key, lambda: "")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{variable_of(names[0])} and {variable_of(names[1])} are not a certificate (PEM) and "
            "its key without a password",
            "Check both files: openssl x509 -in CERTIFICATE, openssl pkey -in KEY.",
        ) from error


def ends_at(certificate: str) -> datetime:
    """When the first certificate of a file ends.

    Raises
    ------
    ValueError
        It holds none.
    """
    from cryptography import x509

    first = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
    return first.not_valid_after_utc


def left(certificate: str) -> timedelta:
    """How long a certificate is still valid; below zero if it has ended.

    Raises
    ------
    ValueError
        The file holds no certificate.
    """
    return ends_at(certificate) - datetime.now(UTC)

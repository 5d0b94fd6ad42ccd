"""The project's exceptions. Imports nothing of the project.

Each carries a stable ``code`` for programs, a ``message`` that says what was found, and a
``hint`` that says what to do next. None ever holds a path of the server or a file's name.
"""


class HippoViewError(Exception):
    """Base of all errors that HippoView explains to its user."""

    code = "error"

    def __init__(self, message: str, hint: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def as_dict(self) -> dict[str, dict[str, str | int]]:
        """The one error shape of the API and the command line."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class InputError(HippoViewError):
    """The input cannot be used (HTTP 422)."""

    code = "bad_input"


class TooLargeError(InputError):
    """The file is larger than this server accepts (HTTP 413)."""

    code = "too_large"


class NotFoundError(HippoViewError):
    """The requested thing does not exist (HTTP 404)."""

    code = "not_found"


class SettingsError(HippoViewError):
    """A setting in the environment has an invalid value."""

    code = "bad_setting"


class DeviceError(HippoViewError):
    """This machine does not have the requested device."""

    code = "device_unavailable"


class ModelError(HippoViewError):
    """No model can serve: its files are missing, changed or unreadable."""

    code = "model_unavailable"


class StorageError(HippoViewError):
    """The storage cannot be reached, or refuses an operation."""

    code = "storage_unavailable"


class PacsError(HippoViewError):
    """The PACS cannot be reached, refuses, or answers something that cannot be used."""

    code = "pacs_unavailable"


class ProviderError(HippoViewError):
    """The sign-in provider cannot be reached, or does not answer as it should."""

    code = "provider_unavailable"


class ConflictError(HippoViewError):
    """The request conflicts with the current state (HTTP 409)."""

    code = "conflict"


class NewerVersionError(ConflictError):
    """Somebody saved a version of a mask after the one that the request names.

    Parameters
    ----------
    message, hint
    newest
        The newest version, for programs: it crosses the wire beside the message.
    """

    code = "newer_version"

    def __init__(self, message: str, hint: str, *, newest: int) -> None:
        super().__init__(message, hint)
        self.newest = newest

    def as_dict(self) -> dict[str, dict[str, str | int]]:
        """See `HippoViewError`."""
        told = super().as_dict()
        return {"error": told["error"] | {"newest": self.newest}}


class GateError(ConflictError):
    """The gate stops a promotion, and no reason was given."""

    code = "gate"


class ChangedError(ConflictError):
    """A file in the storage is not the one that the caller had read."""

    code = "storage_conflict"


class TrainingError(HippoViewError):
    """A training cannot start or cannot go on."""

    code = "training_failed"


class AccessError(HippoViewError):
    """The caller may not do this, or not without signing in."""

    code = "not_signed_in"


class ForbiddenError(HippoViewError):
    """The caller has signed in, and may not do this (HTTP 403)."""

    code = "forbidden"


class ComputeError(HippoViewError):
    """The network failed on a scan: out of memory, or a fault of the machine."""

    code = "compute_failed"


class BusyError(HippoViewError):
    """The queue in front of the device is full."""

    code = "busy"

    def __init__(self, message: str, hint: str = "", *, retry_after_s: int) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class GoneError(HippoViewError):
    """Nobody waits for the result any more."""

    code = "gone"

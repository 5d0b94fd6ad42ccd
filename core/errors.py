"""The project's exceptions. Imports nothing of the project.

Each carries a stable ``code`` for programs, a ``message`` that says what was found, and a
``hint`` that says what to do next. None ever holds a path of the server or a file's name.
"""


class HippoViewError(Exception):
    """Anything that HippoView tells its user in words."""

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
    """The file that was given cannot be segmented."""

    code = "bad_input"


class TooLargeError(InputError):
    """The file is larger than this server accepts."""

    code = "too_large"


class NotFoundError(HippoViewError):
    """What was asked for is not there (any more)."""

    code = "not_found"


class SettingsError(HippoViewError):
    """A setting in the environment has a value that means nothing."""

    code = "bad_setting"


class DeviceError(HippoViewError):
    """The device that was asked for is not in this machine."""

    code = "device_unavailable"


class ModelError(HippoViewError):
    """No model can serve: its files are missing, changed or unreadable."""

    code = "model_unavailable"


class StorageError(HippoViewError):
    """The storage cannot be reached, or refuses."""

    code = "storage_unavailable"


class ConflictError(HippoViewError):
    """What was asked for does not fit the present state."""

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


class ChangedError(ConflictError):
    """A file of the storage is not (any more) what the caller takes it for."""

    code = "storage_conflict"


class TrainingError(HippoViewError):
    """A training cannot start or cannot go on."""

    code = "training_failed"


class AccessError(HippoViewError):
    """The caller may not do this, or not without signing in."""

    code = "not_signed_in"


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
    """Whoever asked does not wait for the answer any more."""

    code = "gone"

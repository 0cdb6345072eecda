"""What can go wrong."""


class GatewayError(Exception):
    """An error of the gateway; its text names no patient."""


class InvalidConfiguration(GatewayError):
    """The file of settings does not hold together."""


class StateInUse(GatewayError):
    """Another gateway has the state folder open."""


class StorageFull(GatewayError):
    """The disk is below its watermark: nothing more is taken."""


class Unacceptable(GatewayError):
    """An object that is no DICOM instance."""


class Transient(GatewayError):
    """Worth another try, at most ``attempts`` in all where that is given."""

    def __init__(
        self, message: str, retry_after_s: float | None = None, attempts: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.attempts = attempts


class Permanent(GatewayError):
    """No repetition will help: it is parked with its problem."""

"""The signals of this system, without the module `signal`: its enumerations take 4 ms to import."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["signal"]

"""Every error the kit raises on purpose: one root, typed children.

A message says in one sentence what went wrong, where, what was found, what is
allowed, and the next step. `exit_code` is what the command line returns for it.
"""

from __future__ import annotations


class SpeckAdacalError(Exception):
    """Root of all errors raised by this package; the command line exits with `exit_code`."""

    exit_code = 1


class SettingsError(SpeckAdacalError, ValueError):
    """A setting is outside its allowed range, or settings contradict each other."""


class ModelError(SpeckAdacalError):
    """A network cannot be traced or converted: an unsupported layer, NaN weights, a wrong shape."""


class CheckpointError(SpeckAdacalError):
    """A checkpoint file is unsafe (pickle), corrupt, or does not fit its architecture."""


class CalibrationError(SpeckAdacalError):
    """Calibration data are empty, of a wrong shape, not finite, or lack needed labels."""


class EventError(SpeckAdacalError, ValueError):
    """Events are out of order, out of bounds, or addressed to a core that is not configured."""


class DataError(SpeckAdacalError):
    """A data set, recording or card is missing, damaged or not in the expected format."""


class ConfigurationError(SpeckAdacalError, ValueError):
    """A chip configuration or chip description is invalid; the message names the field."""


class DesignRuleError(SpeckAdacalError):
    """A network breaks one or more of the chip's design rules.

    Attributes:
        violations: the broken rules (`speck_adacal.rules.rules.Violation`), where known.
    """

    exit_code = 3
    violations: tuple[object, ...] = ()


class BackendError(SpeckAdacalError, RuntimeError):
    """The samna back end (real or virtual) cannot be used as asked."""


class DeviceError(SpeckAdacalError, RuntimeError):
    """A (virtual or real) device is closed, busy, or refused a request."""


class SessionError(SpeckAdacalError, RuntimeError):
    """A streaming session was stopped or closed, or its chip failed."""


class OverrunError(SessionError):
    """Input came faster than the chip, or its consumer, could take it."""


class HardwareMissingError(SpeckAdacalError):
    """The request needs a real dev kit, or the vendor's samna library, and there is none."""

    exit_code = 4


class BundleError(SpeckAdacalError):
    """A bundle is damaged, incomplete, unsafe, or of a schema this version cannot read."""


class OutputError(SpeckAdacalError, OSError):
    """An output cannot be written: no permission, no space, or its folder cannot be made."""


class OutputExistsError(SpeckAdacalError):
    """An output path already exists and overwriting was not asked for."""

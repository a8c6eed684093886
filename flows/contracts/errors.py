"""Exceptions whose message is one line for the user: what is wrong, and what to do."""


class SievitError(Exception):
    """Base of all errors that a command prints as one line before it exits with status 2."""


class ConfigError(SievitError):
    """A hardware, model or command option is out of range or does not fit the others."""


class ArtifactError(SievitError):
    """An artifact or program file is missing, damaged, of another version, or inconsistent."""


class WeightsError(SievitError):
    """A weights file is missing, truncated, or does not fit the model."""


class ImageError(SievitError):
    """An image cannot be read."""


class SimulationError(SievitError):
    """The simulator could not be built, ended early, or the hardware reported an error."""


class MismatchError(SievitError):
    """Hardware and golden model differ; the message names the first wrong integer."""


class SynthesisError(SievitError):
    """Open synthesis is not installed, or could not map the design."""

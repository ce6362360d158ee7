"""The errors this project raises on purpose; each message is one sentence for the person who can correct it."""


class PlanRecommenderError(Exception):
    """The work could not be decided; the command lines print the message and exit with 2."""


class ConfigError(PlanRecommenderError):
    """The configuration is missing, malformed or contradicts the code."""


class TableError(PlanRecommenderError):
    """A file of subscribers is missing, malformed or holds values that are not usage."""


class ModelError(PlanRecommenderError):
    """A registered model is missing, damaged or was made for another schema."""


class CompileError(PlanRecommenderError):
    """The fitted pipeline could not be compiled, or the compiled scorer does not answer as the pipeline does."""


class OutputError(PlanRecommenderError):
    """A result could not be written."""


class MissingLibraryError(PlanRecommenderError):
    """An optional library is wanted and not installed."""


class TrackingError(PlanRecommenderError):
    """A run could not be tracked; whatever it registered is registered."""


class PrivatePartsError(PlanRecommenderError):
    """Another package is installed in another version than the one whose private parts the project uses."""

"""The errors that this project raises on purpose.

A message is one sentence for the person who can do something about it: what was expected, what was found, and what to
do. The command lines print it without a stack trace and exit with 2.
"""


class PlanRecommenderError(Exception):
    """Base of the errors below: a command could not do what it was asked, or could not decide."""


class ConfigError(PlanRecommenderError):
    """A setting, an option, or a file of settings is missing, malformed or impossible."""


class TableError(PlanRecommenderError):
    """A table of subscribers is missing or malformed, holds values that are not usage, or has too few rows."""


class ModelError(PlanRecommenderError):
    """A registered model is missing, damaged, or made for another schema."""


class CompileError(PlanRecommenderError):
    """A fitted pipeline cannot be compiled to tables, or the tables do not answer as the pipeline does."""


class OutputError(PlanRecommenderError):
    """A result cannot be written."""


class MissingLibraryError(PlanRecommenderError):
    """A setting or an option needs an optional library that is not installed."""


class TrackingError(PlanRecommenderError):
    """A training run could not be logged to MLflow; a model that it registered stays registered."""


class PrivatePartsError(PlanRecommenderError):
    """Another package is installed in another version than the one whose private parts the project uses."""

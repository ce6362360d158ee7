"""The model as data: a constant, one curve for each feature and one map for each pair of features, as a JSON document.

The log-odds of the plan Ultra are the constant plus one number from every curve and map: the one at the bins that the
features' values fall into. docs/model_format.md describes the document, and examples/reader.mjs reads it.

Every number that is added is a whole multiple of `STEP`, and the largest numbers together are smaller than
`MAX_LOG_ODDS`. A double therefore holds every sum exactly, and a program gets the same bits in whatever order and
language it adds them up. model/logistic.py does the same for the probability.
"""

import math
from bisect import bisect_left
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plan_recommender.errors import ModelError
from plan_recommender.model.features import FEATURE_NAMES, FEATURES, TARGET
from plan_recommender.model.threshold import Threshold

SCHEMA_VERSION: Final = 2
STEP: Final = 2.0**-44
MAX_LOG_ODDS: Final = 128.0

MAX_BYTES: Final = 16 * 1024 * 1024
"""Size of the largest document that is read; one with 260 cut points has about 550 KB."""

PAIRS: Final = tuple(combinations(range(len(FEATURE_NAMES)), 2))
"""Positions in `FEATURE_NAMES` of the two features of every map, in the order of the document."""

_MEAN_TOLERANCE: Final = 1e-9
"""A weighted mean of a curve, or of a row or column of a map, counts as 0 up to this."""

_SHOWN: Final = 60  # characters of what was found that an error repeats

Values = npt.NDArray[np.float64]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FeatureTable(_Part):
    """One feature: its bins, how many rows of the training part fall into each, and what each adds to the log-odds.

    `training_rows` weigh the curve, so they count a missing value in the bin in which it is scored. `smart_rows` and
    `ultra_rows` say how common usage is on each plan, so they count known values only.

    Bin 0 holds the values up to and including `cuts[0]`, bin k those above `cuts[k - 1]` up to and including `cuts[k]`,
    and the last bin those above the last cut.
    """

    name: str
    unit: str
    cuts: Annotated[list[Annotated[float, Field(ge=0)]], Field(description="ascending, in the feature's unit")]
    missing_bin: Annotated[int, Field(ge=0, description="bin of a missing value: that of the median")]
    median: Annotated[float, Field(ge=0, description="of the training part, in the feature's unit")]
    training_rows: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(description="rows of the training part in each bin, missing ones too")
    ]
    smart_rows: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(description="rows on Smart in each bin, without missing values")
    ]
    ultra_rows: Annotated[
        list[Annotated[int, Field(ge=0)]], Field(description="rows on Ultra in each bin, without missing values")
    ]
    smallest: Annotated[float, Field(ge=0, description="value of the training part, in the feature's unit")]
    largest: Annotated[float, Field(ge=0, description="value of the training part, in the feature's unit")]
    whole: Annotated[bool, Field(description="whether all values of the training part are whole numbers")]
    curve: Annotated[list[float], Field(description="log-odds that each bin adds; their weighted mean is 0")]

    @model_validator(mode="after")
    def _has_one_shape(self) -> Self:
        bins = len(self.cuts) + 1
        if any(low >= high for low, high in zip(self.cuts, self.cuts[1:], strict=False)):
            raise ValueError(f"expected ascending cuts of {self.name}, found two that are not")
        for name in ("training_rows", "smart_rows", "ultra_rows", "curve"):
            found = getattr(self, name)
            if len(found) != bins:
                raise ValueError(f"expected {bins} numbers in {name} of {self.name}, one a bin, found {len(found)}")
        if self.missing_bin != bisect_left(self.cuts, self.median):
            raise ValueError(f"expected missing_bin of {self.name} to be the bin of its median")
        if not any(self.training_rows):
            raise ValueError(f"expected training_rows of {self.name} to count at least one row")
        self._check_plans()
        return self

    def _check_plans(self) -> None:
        """Check that the rows of both plans are those of the training part, but for missing values."""
        known = [smart + ultra for smart, ultra in zip(self.smart_rows, self.ultra_rows, strict=True)]
        for b, (rows, all_rows) in enumerate(zip(known, self.training_rows, strict=True)):
            if rows > all_rows or (rows < all_rows and b != self.missing_bin):
                raise ValueError(
                    f"expected smart_rows and ultra_rows of {self.name} to sum to training_rows, except that missing "
                    f"values are only in training_rows of bin {self.missing_bin}; in bin {b} found {rows} of {all_rows}"
                )
        occupied = [b for b, rows in enumerate(known) if rows]
        ends = [bisect_left(self.cuts, value) for value in (self.smallest, self.largest)]
        if not occupied or ends != [occupied[0], occupied[-1]]:
            raise ValueError(
                f"expected smallest and largest of {self.name} in the first and the last bin that has rows of a plan"
            )

    @property
    def weights(self) -> Values:
        """Share of the training part in each bin, shape (bins,)."""
        rows = np.array(self.training_rows, dtype=np.float64)
        shares: Values = rows / rows.sum()
        return shares


class PairMap(_Part):
    """Two features: what each combination of their bins adds to the log-odds, beside the two curves."""

    features: Annotated[list[str], Field(min_length=2, max_length=2)]
    values: Annotated[
        list[list[float]],
        Field(
            description="log-odds, values[bin of the first][bin of the second]; weighted means of rows and columns 0"
        ),
    ]


class ModelDocument(_Part):
    """The whole model; one that can be made is consistent: its tables fit together, and its sums are exact."""

    format: Literal["plan_recommender.tables"]
    schema_version: Literal[2]
    target: Literal["is_ultra"]
    threshold: Threshold
    features: list[FeatureTable]
    constant: Annotated[float, Field(description="mean log-odds over independently drawn training values")]
    maps: list[PairMap]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = [(feature.name, feature.unit) for feature in self.features]
        expected = [(feature.name, feature.unit) for feature in FEATURES]
        if found != expected:
            raise ValueError(f"expected the features {expected}, found {found}")
        pairs = [tuple(pair.features) for pair in self.maps]
        if pairs != [(FEATURE_NAMES[i], FEATURE_NAMES[j]) for i, j in PAIRS]:
            raise ValueError(f"expected a map of every pair of features, in order, found {pairs}")
        for pair, (i, j) in zip(self.maps, PAIRS, strict=True):
            shape = (len(self.features[i].curve), len(self.features[j].curve))
            if len(pair.values) != shape[0] or any(len(row) != shape[1] for row in pair.values):
                raise ValueError(f"expected {shape[0]} rows of {shape[1]} numbers in the map of {pair.features}")
        self._check_numbers()
        self._check_bounds()
        return self

    @property
    def curves(self) -> list[Values]:
        """The curve of each feature, each of shape (bins,)."""
        return [np.array(feature.curve) for feature in self.features]

    @property
    def matrices(self) -> dict[tuple[int, int], Values]:
        """The map of each pair in `PAIRS`, each of shape (bins of the first, bins of the second)."""
        return {positions: np.array(pair.values) for positions, pair in zip(PAIRS, self.maps, strict=True)}

    def _check_numbers(self) -> None:
        weights = [feature.weights for feature in self.features]
        tables = [np.array([self.constant]), *self.curves, *self.matrices.values()]
        if any((np.rint(table / STEP) * STEP != table).any() for table in tables):
            raise ValueError("expected numbers that are whole multiples of 2**-44, found one that is not")
        largest = sum(float(np.abs(table).max()) for table in tables)
        if largest >= MAX_LOG_ODDS:
            raise ValueError(f"expected log-odds below {MAX_LOG_ODDS:g}, found up to {largest:g}")
        means = [np.array([curve @ w]) for curve, w in zip(self.curves, weights, strict=True)]
        for (i, j), matrix in self.matrices.items():
            means += [matrix @ weights[j], weights[i] @ matrix]
        if any((np.abs(mean) > _MEAN_TOLERANCE).any() for mean in means):
            raise ValueError("expected curves, and rows and columns of maps, whose weighted mean is 0")

    def _check_bounds(self) -> None:
        """Check that every segment begins where a bin begins, so that a decision depends on the bins only."""
        segments = self.threshold.segments
        if segments is None:
            return
        cuts = self.features[FEATURE_NAMES.index(segments.feature)].cuts
        for bound in segments.bounds:
            if bound > 0 and math.nextafter(bound, 0) not in cuts:
                raise ValueError(
                    f"expected a cut of {segments.feature} before the threshold's bound {bound!r}, found none"
                )


def rounded(values: Values | float) -> Values:
    """Round numbers to the nearest multiples of `STEP`; -0 becomes 0."""
    result: Values = np.rint(np.asarray(values) / STEP) * STEP + 0.0
    return result


def write_document(document: ModelDocument) -> bytes:
    """Write the document as it is stored: JSON in UTF-8; equal documents give equal bytes."""
    return document.model_dump_json(exclude_none=True).encode()


def read_document(content: bytes) -> ModelDocument:
    """Read a document and check all of it.

    Raises:
        ModelError: the bytes are not a document of this schema version, or are more than `MAX_BYTES`.
    """
    if len(content) > MAX_BYTES:
        raise ModelError(f"expected a model document of at most {MAX_BYTES:,} bytes, found more")
    try:
        document = ModelDocument.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        found = f", found {first['input']!r}" if isinstance(first["input"], int | float | str) and first["loc"] else ""
        sentence = f"{first['msg'].removeprefix('Value error, ')}{found[:_SHOWN]}"
        raise ModelError(f"expected a model document of schema {SCHEMA_VERSION}; {where}: {sentence}") from error
    if "objective" not in document.threshold.model_fields_set:  # `Threshold` has a default for it; the format has none
        raise ModelError(f"expected a model document of schema {SCHEMA_VERSION}; threshold.objective: Field required")
    return document


def read_limited(path: Path) -> bytes:
    """Read a file up to one byte more than `MAX_BYTES`, which is enough for `read_document` to refuse it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


assert TARGET == "is_ultra"  # `ModelDocument.target` repeats it, because a Literal takes no name of a constant

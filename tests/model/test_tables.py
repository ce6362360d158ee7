"""A model's document is read only when it is the one that was registered, and when all of it fits together."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plan_recommender.errors import ModelError
from plan_recommender.model.digests import digests
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import MAX_BYTES, PAIRS, STEP, ModelDocument, read_document, rounded, write_document
from plan_recommender.model.threshold import SegmentThresholds, Threshold
from tests.training.candidates import fitted, on_shipped, shipped

Json = dict[str, Any]


@pytest.fixture(scope="module")
def small() -> bytes:
    """A document of a few thousand bytes."""
    model = fitted("binned_logistic", shipped().features[:500], shipped().target[:500], bins=3)
    return write_document(model.document)


@pytest.fixture
def copied(model: RegisteredModel, copy_store: Callable[[Path], Path], tmp_path: Path) -> RegisteredModel:
    return replace(model, path=copy_store(tmp_path / "home"))


def parsed(content: bytes) -> Json:
    document: Json = json.loads(content)
    return document


def written(document: Json) -> bytes:
    return json.dumps(document).encode()


def test_a_document_is_what_was_written(small: bytes) -> None:
    document = read_document(small)
    assert write_document(document) == small
    assert read_document(written(parsed(small))) == document


def test_the_session_s_model_is_read(model: RegisteredModel) -> None:
    content = (model.path / DOCUMENT_FILE).read_bytes()
    assert write_document(model.document()) == content
    assert len(content) < MAX_BYTES / 10


def test_every_flipped_byte_is_noticed(small: bytes, copied: RegisteredModel) -> None:
    path = copied.path / DOCUMENT_FILE
    path.write_bytes(small)
    registered = replace(copied, record=copied.record.model_copy(update={"digests": digests(copied.path)}))
    registered.document()  # the control
    with path.open("r+b") as file:
        for i, byte in enumerate(small):
            file.seek(i)
            file.write(bytes([byte ^ 1 << i % 8]))
            file.flush()
            with pytest.raises(ModelError, match="found an altered one") as caught:
                registered.document()
            assert "\n" not in str(caught.value)
            file.seek(i)
            file.write(bytes([byte]))
    registered.document()


def test_flipped_bytes_of_the_session_s_model_are_noticed(copied: RegisteredModel) -> None:
    path = copied.path / DOCUMENT_FILE
    content = bytearray(path.read_bytes())
    for i in np.random.default_rng(0).choice(len(content), 300, replace=False).tolist():
        content[i] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelError, match="found an altered one"):
            copied.scorer()
        content[i] ^= 1
    path.write_bytes(content)
    copied.scorer()


def every_key(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of every key of every object in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*place, key)
            yield from every_key(inner, (*place, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for i, inner in enumerate(value):
            yield from every_key(inner, (*place, i))


def at(document: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        document = document[step]
    return document


def test_a_missing_key_is_noticed_wherever_it_is(small: bytes) -> None:
    places = list(every_key(parsed(small)))
    assert len(places) == 7 + 2 + 4 * 12 + 6 * 2
    for place in places:
        document = parsed(small)
        del at(document, place[:-1])[place[-1]]
        with pytest.raises(ModelError, match=r"^expected a model document of schema 2; "):
            read_document(written(document))


def test_an_added_key_is_noticed_wherever_it_is(small: bytes) -> None:
    for place in {place[:-1] for place in every_key(parsed(small))}:
        document = parsed(small)
        at(document, place)["note"] = "by hand"
        with pytest.raises(ModelError, match=r"^expected a model document of schema 2; .*note: Extra inputs"):
            read_document(written(document))


def change(place: tuple[str | int, ...], value: Callable[[Any], Any]) -> Callable[[Json], None]:
    def apply(document: Json) -> None:
        at(document, place[:-1])[place[-1]] = value(at(document, place))

    return apply


def segmented(bounds: list[Any]) -> Callable[[Json], None]:
    segments = {"feature": "calls", "bounds": bounds, "thresholds": [0.2, 0.5, 0.7]}
    return change(("threshold",), lambda threshold: {**threshold, "segments": segments})


CHANGES: dict[str, tuple[Callable[[Json], None], str]] = {
    "an older schema": (change(("schema_version",), lambda _: 1), "schema_version: Input should be 2"),
    "a newer schema": (change(("schema_version",), lambda _: 3), "schema_version: Input should be 2"),
    "another format": (change(("format",), lambda _: "onnx"), "format: Input should be"),
    "cuts out of order": (change(("features", 0, "cuts"), lambda cuts: cuts[::-1]), "ascending cuts of calls"),
    "a cut twice": (change(("features", 3, "cuts"), lambda cuts: [cuts[0]] * len(cuts)), "ascending cuts of mb_used"),
    "a negative cut": (change(("features", 0, "cuts", 0), lambda _: -1.0), "greater than or equal to 0"),
    "a curve too short": (change(("features", 1, "curve"), lambda c: c[:-1]), "expected 3 numbers in curve of minutes"),
    "rows too long": (change(("features", 2, "training_rows"), lambda r: [*r, 1]), "numbers in training_rows of messa"),
    "no rows": (change(("features", 2, "training_rows"), lambda r: [0] * len(r)), "count at least one row"),
    "a plan's rows too short": (
        change(("features", 2, "smart_rows"), lambda r: r[:-1]),
        "numbers in smart_rows of mess",
    ),
    "a row of a plan too many": (
        change(("features", 2, "ultra_rows", 0), lambda n: n + 1),
        "expected smart_rows and ultra_rows of messages to sum to training_rows",
    ),
    "a row of a plan too few": (
        change(("features", 2, "smart_rows", 2), lambda n: n - 1),
        "missing values are only in training_rows of bin 0; in bin 2 found 29 of 30",
    ),
    "no known values": (
        change(("features", 2), lambda f: f | {"smart_rows": [0, 0, 0], "ultra_rows": [0, 0, 0]}),
        "expected smart_rows and ultra_rows of messages to sum to training_rows",
    ),
    "a smallest value of another bin": (
        change(("features", 3, "smallest"), lambda v: v + 1e5),
        "smallest and largest of",
    ),
    "a largest value of another bin": (
        change(("features", 3, "largest"), lambda _: 0.0),
        "smallest and largest of mb_us",
    ),
    "whole as a number": (change(("features", 0, "whole"), lambda _: 1), "valid boolean"),
    "half a row": (change(("features", 2, "training_rows", 0), lambda _: 0.5), "valid integer"),
    "another missing bin": (change(("features", 0, "missing_bin"), lambda b: b + 1), "the bin of its median"),
    "another unit": (change(("features", 3, "unit"), lambda _: "GB / month"), "expected the features"),
    "another order": (change(("features",), lambda features: features[::-1]), "expected the features"),
    "three features": (change(("features",), lambda features: features[:3]), "expected the features"),
    "maps in another order": (change(("maps",), lambda maps: maps[::-1]), "a map of every pair of features"),
    "five maps": (change(("maps",), lambda maps: maps[:5]), "a map of every pair of features"),
    "a map too short": (change(("maps", 0, "values"), lambda rows: rows[:-1]), "3 rows of 3 numbers in the map"),
    "a map too narrow": (change(("maps", 5, "values", 0), lambda row: row[:-1]), "numbers in the map of"),
    "off the grid": (change(("constant",), lambda c: c + STEP / 2), "whole multiples of 2"),
    "a huge number": (change(("constant",), lambda _: 200.0), "expected log-odds below 128"),
    "not purified": (change(("maps", 0, "values", 0, 0), lambda v: v + 0.5), "whose weighted mean is 0"),
    "a curve that is not centred": (
        change(("features", 0, "curve"), lambda curve: [v + 0.5 for v in curve]),
        "whose weighted mean is 0",
    ),
    "a map that is hardly purified": (
        change(("maps", 0, "values", 0, 0), lambda v: v + 2.0**-26),
        "whose weighted mean is 0",
    ),
    "a threshold in quotes": (change(("threshold", "value"), lambda _: "0.5"), "valid number"),
    "a threshold that is a boolean": (change(("threshold", "value"), lambda _: True), "valid number"),
    "bounds in the other order": (segmented([20.0, 10.0]), "expected bounds that ascend"),
    "a bound that is not finite": (segmented([10.0, math.inf]), "finite number"),
    "a bound in quotes": (segmented([10.0, "20"]), "valid number"),
    "a negative bound": (segmented([-1.0, 10.0]), "greater than or equal to 0"),
    "a bound within a bin": (segmented([10.125, 20.25]), "a cut of calls before the threshold's bound 10.125"),
    "a threshold above 1": (change(("threshold", "value"), lambda _: 1.5), "less than or equal to 1"),
    "a number in quotes": (change(("constant",), str), "valid number"),
    "a boolean": (change(("features", 0, "curve", 0), lambda _: True), "valid number"),
    "null": (change(("features", 0, "curve", 0), lambda _: None), "valid number"),
    "NaN": (change(("constant",), lambda _: math.nan), "finite number"),
    "Infinity": (change(("maps", 2, "values", 0, 0), lambda _: math.inf), "finite number"),
    "minus Infinity": (change(("features", 1, "curve", 0), lambda _: -math.inf), "finite number"),
    "an infinite cut": (change(("features", 0, "cuts", -1), lambda _: math.inf), "finite number"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_does_not_fit_together_is_refused_in_one_sentence(small: bytes, name: str) -> None:
    document = parsed(small)
    read_document(written(document))  # the control
    apply, expected = CHANGES[name]
    apply(document)
    with pytest.raises(ModelError) as caught:
        read_document(written(document))
    message = str(caught.value)
    assert message.startswith("expected a model document of schema 2; ")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"\x80\x04\x95"])
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^expected a model document of schema 2; the document: "):
        read_document(content)


def test_a_file_of_200_mb_is_refused_without_reading_it(copied: RegisteredModel) -> None:
    path = copied.path / DOCUMENT_FILE
    with path.open("r+b") as file:
        file.truncate(200 * 1024 * 1024)
    with pytest.raises(ModelError, match="found an altered one"):
        copied.document()
    with pytest.raises(ModelError, match="of at most 16,777,216 bytes, found more"):
        read_document(b" " * (MAX_BYTES + 1))


def test_a_refused_document_is_named_with_its_path_and_what_to_do(copied: RegisteredModel) -> None:
    path = copied.path / DOCUMENT_FILE
    document = parsed(path.read_bytes())
    document["schema_version"] = 1
    path.write_bytes(written(document))
    registered = replace(copied, record=copied.record.model_copy(update={"digests": digests(copied.path)}))
    with pytest.raises(ModelError) as caught:
        registered.scorer()
    assert str(caught.value).startswith(f"{path}: expected a model document of schema 2; schema_version: ")
    assert str(caught.value).endswith("train again with this version of the code")


def test_every_number_is_on_the_grid_so_that_sums_are_exact(model: RegisteredModel) -> None:
    document = model.document()
    numbers = np.concatenate([[document.constant], *document.curves, *(m.ravel() for m in document.matrices.values())])
    assert (np.rint(numbers / STEP) * STEP == numbers).all()
    assert rounded(-STEP / 4).tobytes() == np.float64(0.0).tobytes()


def test_the_order_of_the_additions_changes_no_bit(scorer: Scorer, model: RegisteredModel) -> None:
    document, order = model.document(), np.random.default_rng(1)
    curves, maps = document.curves, document.matrices
    for row in shipped().features[:200].tolist():
        bins = scorer.bins(*row)
        parts = [document.constant, *(float(curves[i][bins[i]]) for i in range(4))]
        parts += [float(maps[i, j][bins[i], bins[j]]) for i, j in PAIRS]
        order.shuffle(parts)
        assert sum(parts) == math.fsum(parts) == scorer.log_odds_of(bins)


def test_a_document_keeps_thresholds_by_segment() -> None:
    segments = SegmentThresholds(feature="mb_used", bounds=[5000.0, 20_000.0], thresholds=[0.2, 0.5, 0.7])
    threshold = Threshold(value=0.5, objective="f1", segments=segments)
    model = fitted("boosted_trees", shipped().features, shipped().target, threshold, trees=3)
    again: ModelDocument = read_document(write_document(model.document))
    assert again.threshold == threshold
    cuts = again.features[FEATURE_NAMES.index("mb_used")].cuts
    assert {math.nextafter(bound, 0) for bound in segments.bounds} <= set(cuts)
    assert write_document(on_shipped("boosted_trees").document).count(b"segments") == 0

"""The logistic function, from additions, multiplications and divisions alone, so that every language gives its bits.

With z the log-odds, k the whole number nearest to |z| / ln 2, and r = k ln 2 - |z|, which is within ±0.35,

    exp(-|z|) = 2**-k * exp(r),    exp(r) = (A + r B) / (A - r B)

where A and B are the even and odd part of the Padé approximant [6/6] of the exponential function, whose coefficients
are whole numbers (Baker and Graves-Morris, "Padé Approximants", 1996, section 1.2): its error is below 2e-19. Powers of
two are exact, so the result is within 4 units in the last place of the exact value.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

ROUNDING: Final = 1.5 * 2.0**52
"""Adding and subtracting it rounds a small double to a whole number."""

INVERSE_LN2: Final = 1.4426950408889634
LN2_HIGH: Final = 0.6931471803691238
"""The first 33 bits of ln 2, so that a product with a small whole number is exact."""

LN2_LOW: Final = 1.9082149292705877e-10
"""The rest of ln 2."""

RELATIVE_ERROR: Final = 1e-13
"""A bound for what rounding makes of a probability, and for what the rounding of log-odds would, relative to it."""

_HALVINGS: Final = [0.5**k for k in range(192)]  # beyond the largest log-odds, 128 / ln 2
_HALVINGS_ARRAY: Final = np.array(_HALVINGS)


def logistic(log_odds: float) -> float:
    """Probability of log-odds within ±128."""
    size = -log_odds if log_odds < 0 else log_odds
    k = size * INVERSE_LN2 + ROUNDING - ROUNDING
    r = k * LN2_HIGH - size + k * LN2_LOW
    s = r * r
    even = ((s + 840.0) * s + 75600.0) * s + 665280.0
    odd = ((42.0 * s + 10080.0) * s + 332640.0) * r
    large, small = even - odd, (even + odd) * _HALVINGS[int(k)]
    return (small if log_odds < 0 else large) / (large + small)


def logistic_array(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same for an array, with the same bits."""
    k = np.abs(log_odds)
    r = -k
    k *= INVERSE_LN2
    k += ROUNDING
    k -= ROUNDING
    r += k * LN2_HIGH
    r += k * LN2_LOW
    s = r * r
    even = s + 840.0
    even *= s
    even += 75600.0
    even *= s
    even += 665280.0
    odd = 42.0 * s
    odd += 10080.0
    odd *= s
    odd += 332640.0
    odd *= r
    large = even - odd
    small = np.add(even, odd, out=even)
    small *= _HALVINGS_ARRAY.take(k.astype(np.intp), mode="clip")
    result = np.where(log_odds < 0, small, large)
    large += small
    result /= large
    return result

"""The logistic function 1 / (1 + exp(-z)), with the same bits in every language.

It is computed from additions, multiplications and divisions only, whose last bit IEEE 754 fixes; that of `exp` differs
between libraries. With z the log-odds, k the whole number nearest to |z| / ln 2, and r = k ln 2 - |z|, which is within
±0.35,

    exp(-|z|) = 2**-k * exp(r),    exp(r) = (A + r B) / (A - r B)

where A and r B are the even and the odd part of the numerator of the Padé approximant [6/6] of the exponential
function, whose coefficients are whole numbers (Baker and Graves-Morris, "Padé Approximants", 1996, section 1.2). Its
error is below 2e-19 and powers of two are exact, so that the result is within 4 units in the last place of the exact
value.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

ROUNDING: Final = 1.5 * 2.0**52
"""Adding and then subtracting it rounds a small double to the nearest whole number."""

INVERSE_LN2: Final = 1.4426950408889634
LN2_HIGH: Final = 0.6931471803691238
"""The first 33 bits of ln 2, so that a product with a small whole number is exact."""

LN2_LOW: Final = 1.9082149292705877e-10
"""The rest of ln 2."""

RELATIVE_ERROR: Final = 1e-13
"""Bound of the relative error of a probability, from the function's own rounding or from that of the log-odds."""

_HALVINGS: Final = [0.5**k for k in range(192)]  # k is at most 128 / ln 2, which is 185
_HALVINGS_ARRAY: Final = np.array(_HALVINGS)


def logistic(log_odds: float) -> float:
    """The probability that belongs to log-odds; they must be within ±128."""
    size = -log_odds if log_odds < 0 else log_odds
    k = size * INVERSE_LN2 + ROUNDING - ROUNDING
    r = k * LN2_HIGH - size + k * LN2_LOW
    s = r * r
    even = ((s + 840.0) * s + 75600.0) * s + 665280.0
    odd = ((42.0 * s + 10080.0) * s + 332640.0) * r
    large, small = even - odd, (even + odd) * _HALVINGS[int(k)]
    return (small if log_odds < 0 else large) / (large + small)


def logistic_array(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probabilities of an array of log-odds within ±128, with the same bits as `logistic` gives each of them."""
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

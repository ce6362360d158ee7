"""How good a model is: metrics, calibration, comparisons, slices, groups, money."""

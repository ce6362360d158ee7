"""How good a model's answers are: metrics, calibration, paired comparison, slices, parity of groups, money.

Most functions take labels, probabilities and decisions as arrays; none of them trains anything.
"""

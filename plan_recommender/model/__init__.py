"""What a registered model is, and how it answers: features, tables, scorer, reasons, thresholds, record, store.

Nothing here trains or writes a model; the package imports only `errors`, so the service carries nothing else.
"""

"""What a registered model is, and how it answers: features, tables, scorer, reasons, thresholds, record, store.

Nothing here trains or writes a model. The package imports only `errors` and `private_parts`, so that the service does
not carry the rest.
"""

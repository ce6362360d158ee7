"""How a model is made: split, selection, fit, compilation and proof, gate, and publication in the model store.

`run.train` is the sequence of the steps; nothing that runs in the service imports this package.
"""

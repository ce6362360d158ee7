"""How a model is made: split, selection, compilation, gate, and its publication in the store."""

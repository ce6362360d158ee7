"""The model as one SQL statement, for a warehouse that scores its own tables. `python -m` this package prints it."""

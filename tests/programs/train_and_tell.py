"""Trains, and then prints the exit code and which of the optional libraries were imported."""

import sys

import train
from tests.pictures import blank_pictures

with blank_pictures():
    code = train.main(sys.argv[1:])
print(code, sorted({name.partition(".")[0] for name in sys.modules} & {"mlflow", "optuna", "sqlalchemy"}))

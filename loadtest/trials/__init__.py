"""Trials: what the service does when it is stopped, killed, overloaded, starved or fed rubbish under load.

A trial starts a service of its own and does it harm while the load generator records every request. It returns what it
measured and which of its promises were broken; docs/reliability.md lists the promises. `make test` runs the trials in
their short form, `python -m loadtest.trials` (`make soak`) in the long one.
"""

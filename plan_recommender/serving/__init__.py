"""Everything that runs in a worker of the service, from the bytes of a request to the bytes of its answer."""

"""What the service and the command lines share: features, configuration, training, scoring, registry and drift."""

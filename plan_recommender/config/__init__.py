"""`model_config.yaml`: its settings, how they are read, and the page that documents them."""

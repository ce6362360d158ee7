"""Whether the world has moved since a model was trained."""

"""Tables of subscribers: reading and writing CSV, outputs that are complete or absent, facts, synthetic tables."""

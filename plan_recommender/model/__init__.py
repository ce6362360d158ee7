"""What a registered model is: the features, the tables and what they answer, the record, the store that is read."""

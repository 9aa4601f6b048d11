"""The unified lead model, and the language that maps a platform's fields to it."""

"""Exercises without end, made from a number: small scenes, one question each, every answer computed by the model."""

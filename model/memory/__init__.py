"""Nouns: records, flag words, the State and its Transaction."""

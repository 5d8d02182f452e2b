"""Recordings of a real kernel, performed on the model and compared."""

"""Verbs: the kernel's functions as procedures of micro-steps, one file per subject."""

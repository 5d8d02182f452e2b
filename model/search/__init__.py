"""Every schedule: search over all interleavings of micro-steps."""

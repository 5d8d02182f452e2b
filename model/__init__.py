"""The machine: a simulated Linux memory manager. No screen, no files, no clock, no randomness."""

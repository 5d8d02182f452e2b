"""The engine: procedures of micro-steps, the tasks that run them, locks, splats, and what differs between kernels."""

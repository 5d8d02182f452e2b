"""Driver files: how a driver maps and moves its buffers, as text that one can write oneself."""

"""A user's work on the machine: history, causes, who refers to whom, recorded kernel traces."""

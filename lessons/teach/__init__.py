"""For teachers: handouts, and the state a presentation shares with its notes."""

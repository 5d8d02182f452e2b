"""Tools for authors of lessons: check, scaffold, diff, mutation."""

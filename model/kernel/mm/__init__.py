"""Memory management, as in mm/."""

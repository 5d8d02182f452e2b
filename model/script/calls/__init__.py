"""What each verb calls, by subject. A kernel function is imported with the first command that calls it."""

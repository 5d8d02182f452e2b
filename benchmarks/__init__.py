"""Speed and memory, each measured side by side with a baseline in the same run."""

"""Long work in processes of its own: searches and comparisons."""

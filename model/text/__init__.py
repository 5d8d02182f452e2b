"""Text and what is wrong with it: words with their columns, and problems with their places."""

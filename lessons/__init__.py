"""The course: lesson files, and the code that loads, checks and plays them."""

"""Lesson files: from Markdown with typed blocks to a checked Lesson."""

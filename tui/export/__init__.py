"""Screens, lessons and traces as files: SVG, Markdown, asciicast, Mermaid."""

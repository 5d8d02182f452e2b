"""The Textual app: how it starts, its themes, palette and autoplay."""

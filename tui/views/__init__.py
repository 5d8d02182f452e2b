"""What the panes show: pure functions from a scene to immutable rows of text. Nothing here knows a screen."""

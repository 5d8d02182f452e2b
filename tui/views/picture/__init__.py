"""The machine as one drawing: pages on the left, frames as the spine, holders on the right, lines between them."""

"""The widgets of the app: all of them draw their own lines, none needs a layout when a step is made."""

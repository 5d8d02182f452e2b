"""A line or two without title and cursor: header, tabs, verdict, timeline, keys. What it shows can be clicked."""

from tui.widgets.line_pane import LinePane


class Bar(LinePane, can_focus=False):
    """Rows that are always in sight."""

    DEFAULT_CSS = "Bar { height: 1; }"

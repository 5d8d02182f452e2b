"""What lies behind panes, and shows only in the gaps between them."""

from textual.containers import Container
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


def blank_lines(widget: Widget, crop: Region) -> list[Strip]:
    """The lines of a widget that is all background: one, drawn once, stands for all.

    Textual draws line by line also what is covered, and asks every line for borders, padding and filters.
    """
    strip = Strip.blank(crop.width, widget.visual_style.rich_style)
    for line_filter in widget.get_line_filters():
        strip = strip.apply_filter(line_filter, widget.background_colors[1])
    return [strip] * crop.height


class Ground(Container):
    """What panes stand on."""

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in a part of it."""
        return blank_lines(self, crop)

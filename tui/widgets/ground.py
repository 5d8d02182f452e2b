"""What lies behind panes, and shows only in the gaps between them."""

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Ground(Widget):
    """A widget that is all background: one line, drawn once, stands for all of them.

    Textual draws line by line also what is covered, and asks every line for borders, padding and filters.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in a part of it."""
        strip = Strip.blank(crop.width, self.visual_style.rich_style)
        for line_filter in self.get_line_filters():
            strip = strip.apply_filter(line_filter, self.background_colors[1])
        return [strip] * crop.height

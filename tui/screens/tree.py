"""The tree of the history: walk it, go anywhere, give places names."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from model.session.move_log import tidy
from model.session.timeline import Timeline
from tui.screens.overlay import Overlay
from tui.screens.prompt import Prompt
from tui.views.glyphs import Glyphs
from tui.views.row import Row
from tui.views.tree import tree


class Tree(Overlay):
    """Ends with the node to go to, `node:N`, or with two to compare, `diff:N:M`."""

    title_text = "History: every path you took"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b,B", "name", "Give this place a name", id="tree.name"),
        Binding("m", "mark", "Mark this place, to compare another with it", id="tree.mark"),
        Binding("d,D", "compare", "Compare with the marked place, or with the present", id="tree.compare"),
        Binding("x,delete", "forget", "Take its name away", id="tree.forget"),
        Binding("right_square_bracket", "named(1)", "Next named place", id="tree.next-named"),
        Binding("left_square_bracket", "named(-1)", "Previous named place", id="tree.previous-named"),
    ]

    def __init__(self, timeline: Timeline, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.timeline = timeline
        self.marked = -1
        """The node that others are compared with; -1: none was marked."""

    def on_mount(self) -> None:
        """The cursor begins where we are."""
        super().on_mount()
        self.pane.point_at(f"node:{self.timeline.here.number}")

    def rows(self, width: int) -> list[Row]:
        """The tree as rows."""
        return tree(self.timeline, width, self.glyphs, self.marked)

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        return [
            ("Enter", tr("go there"), "choose"),
            ("m", tr("mark"), "mark"),
            ("d", tr("compare"), "compare"),
            ("b", tr("name"), "name"),
            ("x", tr("no name"), "forget"),
            ("[ ]", tr("named"), "named(1)"),
        ]

    @property
    def number(self) -> int:
        """The node under the cursor."""
        return int(self.chosen.partition(":")[2] or self.timeline.here.number)

    def action_mark(self) -> None:
        """This is one of the two places to compare; once more: it is none."""
        self.marked = -1 if self.marked == self.number else self.number
        self.renew()

    def action_compare(self) -> None:
        """What differs between the marked place and this one; without a mark: between this one and the present."""
        if self.marked < 0:
            self.dismiss(f"diff:{self.number}:{self.timeline.here.number}")
        else:
            self.dismiss(f"diff:{self.marked}:{self.number}")

    def action_name(self) -> None:
        """Name the place under the cursor."""
        number = self.number

        def named(name: str | None) -> None:
            if name:
                self.timeline.bookmarks[number] = tidy(name)
                self.renew()

        self.app.push_screen(Prompt(tr("name"), begin=self.timeline.bookmarks.get(number, "")), named)

    def action_forget(self) -> None:
        """Remove the bookmark under the cursor."""
        self.timeline.bookmarks.pop(self.number, None)
        self.renew()

    def action_named(self, by: int) -> None:
        """To the next, or previous, place with a name, in the order of the rows."""
        order = [
            int(span.subject.partition(":")[2])
            for row in self.pane.rows
            for span in row.spans[1:2]
            if span.subject.startswith("node:")
        ]
        at = order.index(self.number) if self.number in order else 0
        around = [*order[at + 1 :], *order[:at]] if by > 0 else [*order[:at][::-1], *order[at + 1 :][::-1]]
        found = next((number for number in around if number in self.timeline.bookmarks), None)
        if found is not None:
            self.pane.point_at(f"node:{found}")

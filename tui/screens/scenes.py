"""The ready scenes to choose from, by number."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from lessons.file.scene_library import ReadyScene, ready_scenes
from lessons.i18n.language import tr
from tui.screens.overlay import Overlay
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import Row, Span


class Scenes(Overlay):
    """Ends with the name of a scene. A number is typed digit by digit; it is taken as soon as it can be no other."""

    title_text = "Ready scenes"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(digit), f"digit({digit})", show=False) for digit in range(10)),
    ]

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.scenes: tuple[ReadyScene, ...] = ready_scenes()
        self.typed = ""

    def on_mount(self) -> None:
        """The cursor begins at the first."""
        super().on_mount()
        self.pane.point_at("scene:1")

    def rows(self, width: int) -> list[Row]:
        """A number, a name, and what it is about."""
        rows: list[Row] = []
        for number, scene in enumerate(self.scenes, 1):
            subject = f"scene:{number}"
            lead = [Span(f"{number:3} ", "key", subject), Span(scene.name, "name", subject)]
            rows.append(Row(tuple(lead)))
            rows += [Row((Span("      "), *line.spans)) for line in wrap([Span(scene.about, "plain")], width - 8)]
        return rows

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        typed = f" {self.typed}_" if self.typed else ""
        return [(f"1-{len(self.scenes)}{typed}", tr("or Enter: load the scene"), "choose")]

    def action_digit(self, digit: int) -> None:
        """Append a digit to the number that is being typed."""
        number = int(self.typed + str(digit))
        if not 1 <= number <= len(self.scenes):
            number = digit
        self.typed = str(number) if number else ""
        if not self.pane.point_at(f"scene:{number}"):
            self.typed = ""
        elif number * 10 > len(self.scenes):
            self.choose(f"scene:{number}")
        self.renew()

    def moved(self) -> None:
        """The cursor has another place: what was typed does not count."""
        self.typed = ""
        self.keys.renew()

    def choose(self, subject: str) -> None:
        """Load the chosen scene."""
        self.dismiss(self.scenes[int(subject.partition(":")[2]) - 1].name)

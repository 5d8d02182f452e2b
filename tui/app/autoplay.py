"""Autoplay: a lesson or session that steps by itself, until a question, an end, or a key."""

from typing import Final

from textual.app import App
from textual.timer import Timer

from lessons.i18n.language import tr

PACE: Final = 3.0
"""Seconds between two steps at speed 1."""
SLOWEST: Final = 0.25
FASTEST: Final = 8.0


class Autoplay:
    """At most one timer; none while nothing plays, so that nothing is done at rest."""

    def __init__(self, app: App[None]) -> None:
        self.app = app
        self.speed = 1.0
        self.timer: Timer | None = None

    def toggle(self) -> None:
        """Start autoplay, or stop it."""
        if self.timer is None:
            self.start(self.speed)
        else:
            self.stop(tr("Autoplay stops."))

    def start(self, speed: float) -> None:
        """Play from here on, at a speed."""
        self.stop()
        self.speed = min(max(speed, SLOWEST), FASTEST)
        self.timer = self.app.set_interval(PACE / self.speed, self._step)
        said = tr("Autoplay, speed {speed}: A stops, + and - change the speed.")
        self.app.notify(said.format(speed=f"{self.speed:g}"), timeout=2, markup=False)

    def stop(self, word: str = "") -> None:
        """Stop playing; says why where there is a reason."""
        if self.timer is not None:
            self.timer.stop()
            self.timer = None
        if word:
            self.app.notify(word, timeout=2, markup=False)

    def change(self, factor: float) -> None:
        """Faster or slower, while it plays."""
        if self.timer is not None:
            self.start(self.speed * factor)

    def _step(self) -> None:
        """One step, where one can be made without an answer."""
        from tui.screens.presenter import Presenter
        from tui.screens.stage import Stage

        screen = self.app.screen
        if not isinstance(screen, Stage | Presenter):
            return  # help, a prompt, the palette: it goes on when they are closed
        if isinstance(screen, Presenter) and screen.turn():
            return
        if screen.picture.tale.ask is not None or "forward" not in screen.picture.can:
            self.stop(tr("Autoplay stops: it is your turn."))
            return
        screen.move(lambda: screen.driver.step("forward"))

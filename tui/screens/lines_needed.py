"""How many lines alarms and machine have needed at most: the edge of a pane that has moved stays where it is."""

from tui.screens.stage_keys import HEAD_AND_FOOT, MACHINE_LEAST, MOST_RULES


class LinesNeeded:
    """Remembers the most that was needed since a pane was chosen, or the screen changed its size."""

    def __init__(self) -> None:
        self.alarms = 0
        self._machine = ("", 0)
        """The pane in sight on a narrow screen, and the most lines that it has needed."""

    def by_alarms(self, lines: int) -> int:
        """Lines that the rules get, now that the alarms need `lines`."""
        self.alarms = max(self.alarms, min(lines, MOST_RULES))
        return self.alarms

    def by_machine(self, pane: str, lines: int) -> int:
        """Lines that the pane in sight gets, now that it needs `lines`."""
        most = self._machine[1] if self._machine[0] == pane else 0
        self._machine = pane, max(lines, MACHINE_LEAST - HEAD_AND_FOOT, most)
        return self._machine[1]

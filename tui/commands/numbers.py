"""Whole numbers on a command line: the digits 0 to 9, and bounds that are said to whoever leaves them."""

from argparse import ArgumentTypeError
from typing import Final

from lessons.i18n.language import tr


class WholeNumber:
    """Parses a number from `least` to `most`, or raises ArgumentTypeError, which says both."""

    def __init__(self, least: int, most: int) -> None:
        self.least: Final = least
        self.most: Final = most

    def __call__(self, text: str) -> int:
        """The number."""
        # Python reads other scripts' digits, too, and takes no more than 4,300 of any.
        plain = text.isascii() and text.isdigit() and len(text) <= len(str(self.most))
        if not plain or not self.least <= int(text) <= self.most:
            said = tr("expected a number from {least} to {most}, not `{text}`")
            raise ArgumentTypeError(said.format(least=self.least, most=self.most, text=text))
        return int(text)


STATES: Final = WholeNumber(1, 1_000_000_000)
"""No machine has the memory for more."""
MEBIBYTES: Final = WholeNumber(1, 1 << 24)
"""Of memory: up to 16 TiB."""
JOBS: Final = WholeNumber(1, 256)
"""Processes at once."""
PREEMPTIONS: Final = WholeNumber(0, 1000)
REPEATS: Final = WholeNumber(1, 1_000_000_000)
"""How often something random is tried."""
SEED: Final = WholeNumber(0, (1 << 63) - 1)
"""None below 0: Python's generator takes -1 for 1, so two seeds would try the same."""

"""Lines that are asked for in text mode: typed at a terminal, or out of a file or pipe."""

from typing import TextIO

from rich.console import Console

from tui.views.visible import visible


def typed_line(prompt: str, lines: TextIO, output: Console) -> str:
    """The next line with its newline; empty at the end of the input.

    What does not come from a terminal is shown after the prompt, as a terminal would have shown it while it was typed.
    """
    output.file.write(prompt)
    output.file.flush()
    line = lines.readline()
    if not lines.isatty():
        output.file.write(visible(line if line.endswith("\n") else f"{line}\n"))
    return line

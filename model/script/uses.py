"""`use FILE`: the drivers that a script brings along are put into its text, by whoever may read files.

The model reads none. A caller that does hands a function to `with_drivers`; without it the parser says that `use`
cannot be followed here. Afterwards the line is `driver NAME; …`, in the same place: the script needs no file any more.
"""

from collections.abc import Callable
from typing import Final

from model.driver_files.writing import one_line
from model.script.own_driver import usable
from model.text.problems import ScriptError, ScriptProblem
from model.text.words import printable, split

USE: Final = "use"

MOST_CHARACTERS: Final = 4_000_000
"""Of all drivers together that a script brings along: as many as the script itself may have."""

Read = Callable[[str], str]
"""The text of a file, by its name as the script has it. Raises ValueError with a message that begins with the name."""


def with_drivers(text: str, read: Read) -> str:
    """The script with each `use FILE` as the driver that the file describes.

    Raises ScriptError with everything that is wrong with the files.
    """
    if USE not in text:
        return text
    problems: list[ScriptProblem] = []
    lines = text.split("\n")
    room = MOST_CHARACTERS
    for number, line in enumerate(lines, 1):
        words = split(line)
        if not words or words[0].text != USE:
            continue
        if len(words) < 2:
            problems.append(ScriptProblem(number, words[0].column + len(USE), "FILE is missing (`use FILE`)"))
            continue
        file = line.partition("#")[0].rstrip()[words[1].column - 1 :]
        try:
            described = read(file)
            usable(described)
        except ScriptError as error:
            problems += [
                ScriptProblem(number, words[1].column, wrong.located(printable(file))) for wrong in error.problems
            ]
        except ValueError as error:
            problems.append(ScriptProblem(number, words[1].column, str(error)))
        else:
            lines[number - 1] = one_line(described)
            room -= len(lines[number - 1])
        if room < 0:
            most = f"the drivers that a script uses have at most {MOST_CHARACTERS} characters"
            problems.append(ScriptProblem(number, words[1].column, most))
            break
    if problems:
        raise ScriptError(problems)
    return "\n".join(lines)

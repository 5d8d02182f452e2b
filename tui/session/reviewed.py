"""What is to be reviewed: a bundled driver, or one of your own."""

from functools import cache
from pathlib import Path

from lessons.i18n.language import tr
from model.compare.scenes import DriverRow
from model.driver_files import library
from model.driver_files.resolve import whole
from model.script.complete import Completion, Suggestion
from model.script.own_driver import usable
from model.text.problems import did_you_mean
from tui.session.terminal import is_served
from tui.session.user_files import UnreadableError, read_text


def row_of(driver: str) -> DriverRow:
    """What is to be reviewed: a driver that comes along, by its name, or one that a file describes.

    Raises:
        UnreadableError: there is no such driver, or the file cannot be read.
        ScriptError: the file is wrong.
    """
    names = library.bundled()
    if driver in names:
        return DriverRow((driver,))
    if is_served():
        raise UnreadableError(tr("In a browser there are no files.") + did_you_mean(driver, names))
    if driver != "-" and not Path(driver).exists() and Path(driver).suffix != library.SUFFIX:
        hint = did_you_mean(driver, names) or f": {', '.join(names)}"
        raise UnreadableError(
            tr("no bundled driver is called `{name}`, and there is no such file").format(name=driver) + hint
        )
    return row_of_text(driver, read_text(driver))


def row_of_text(file: str, text: str) -> DriverRow:
    """A driver that a text describes; `file`: what messages call it. UnreadableError, ScriptError."""
    name = whole(text).name
    if name in library.bundled():
        said = tr("{file}: a bundled driver is called `{name}`: choose another name")
        raise UnreadableError(said.format(file=file, name=name))
    return DriverRow((usable(text).name,), text=text)


def assist(line: str) -> Completion:
    """What could be reviewed, for a prompt: the drivers that come along, and the driver files of this folder."""
    found = (*_files(), *_bundled())
    start = line.strip()
    if any(start == one.word for one in found):
        return Completion(start, "", ())
    wanted = tr("a bundled driver, or a .driver file")
    return Completion("DRIVER", wanted, tuple(one for one in found if one.word.startswith(start)))


def _files() -> list[Suggestion]:
    """Those of one's own."""
    here = () if is_served() else sorted(Path().glob(f"*{library.SUFFIX}"))
    return [Suggestion(path.name, tr("a file here")) for path in here]


@cache
def _bundled() -> tuple[Suggestion, ...]:
    """Those that come along, with what they are."""
    return tuple(Suggestion(name, whole(library.text_of(name)).about) for name in library.bundled())

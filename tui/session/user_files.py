"""Reading the files that a user names: whatever is wrong with one becomes a message, never a traceback."""

import sys
from pathlib import Path
from typing import BinaryIO, Final

from lessons.i18n.language import tr
from model.text.problems import line_and_column
from tui.session.terminal import is_served

LONGEST_SHOWN: Final = 80
"""Characters of a name that is too long for the system."""
MOST_BYTES: Final = 4_000_000
"""No script or lesson comes near; a longer file is refused without reading it."""


class UnreadableError(Exception):
    """A file that cannot be read as text; the message starts with its name."""


class NotUtf8Error(UnreadableError):
    """A file has a byte that is no text."""

    def __init__(self, name: str, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.what = "this is not UTF-8 text"
        super().__init__(f"{name}:{line}:{column}: {self.what}")


class FileNameError(Exception):
    """What was typed is no name for a file to write; the message starts with it."""


def new_file(name: str, suffix: str = "") -> Path:
    """Where a file of that name is to be written: `~` is a home, and `suffix` is added to a name that has none.

    Raises:
        FileNameError: it names a folder, a home that nobody has, or something that is no ordinary file.
    """
    try:
        path = Path(name).expanduser()
        if path.is_dir() or not path.name:
            raise FileNameError(tr("{file} is a folder: give the file a name.").format(file=name))
        path = path if path.suffix else path.with_suffix(suffix)
        if path.exists() and not path.is_file():
            raise FileNameError(tr("{file} is no ordinary file: choose another name.").format(file=name))
    except RuntimeError:  # pathlib's word for a home that is not there
        raise FileNameError(tr("{file}: there is no such user.").format(file=name)) from None
    except (OSError, ValueError) as error:
        raise FileNameError(f"{name[:LONGEST_SHOWN]}: {getattr(error, 'strerror', None) or error}") from None
    return path


def read_file(name: str) -> str:
    """The text of an ordinary file, to be read while somebody waits: whatever could keep them waiting is refused.

    Raises UnreadableError.
    """
    try:
        path = Path(name).expanduser()
        if path.exists() and not path.is_file():
            what = tr("{file} is a folder.") if path.is_dir() else tr("{file} is no ordinary file.")
            raise UnreadableError(what.format(file=name))
    except RuntimeError:
        raise UnreadableError(tr("{file}: there is no such user.").format(file=name)) from None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{name[:LONGEST_SHOWN]}: {getattr(error, 'strerror', None) or error}") from None
    return read_text(str(path))


def read_text(name: str) -> str:
    """The text of a file, or of standard input for `-`.

    Raises:
        UnreadableError: it cannot be opened, is a folder, is too long, or is not UTF-8.
    """
    try:
        if name == "-":
            raw = _limited(sys.stdin.buffer, name)
        else:
            with Path(name).open("rb") as file:
                raw = _limited(file, name)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8Error(name, *line_and_column(raw, error.start)) from None


def read_script(name: str) -> str:
    """The text of a script with the drivers that it uses: their files are looked for next to it.

    Raises:
        UnreadableError: the script cannot be read.
        ScriptError: a driver's file cannot be read, or is wrong.
    """
    return with_files(read_text(name), Path(name).parent if name != "-" else Path())


def load_script(name: str) -> str:
    """The same of a file that is read while somebody waits: whatever could keep them waiting is refused."""
    return with_files(read_file(name), Path(name).expanduser().parent)


def with_driver_files(line: str) -> str:
    """A line of a prompt: `use FILE` brings the driver of a file along. Raises ScriptError."""
    return line if is_served() else with_files(line, Path())


def with_files(text: str, folder: Path) -> str:
    """A script with the drivers that it uses in it, their files looked for in a folder. Raises ScriptError."""
    from model.script.uses import with_drivers

    return with_drivers(text, lambda file: read_driver(file, folder))


def read_driver(name: str, folder: Path) -> str:
    """The text of a driver's file. Raises ValueError with a message that begins with the name."""
    try:
        return read_file(str(folder / name))
    except UnreadableError as error:
        raise ValueError(str(error)) from None


def _limited(file: BinaryIO, name: str) -> bytes:
    raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise UnreadableError(f"{name}: longer than {MOST_BYTES} bytes, the most that is read")
    return raw

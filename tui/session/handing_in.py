"""What was done, handed in from the app: the file, and what is to be said about it."""

from pathlib import Path
from typing import NamedTuple

from lessons.i18n.language import tr
from lessons.learner.own_file import create_file, reason
from lessons.learner.progress import ProgressError, Store
from lessons.teach.assignment import Assignment
from lessons.teach.hand_in import HandInError, as_file, clean_name, file_name, hand_in, missing
from tui.version import __version__


class HandedIn(NamedTuple):
    """A hand-in that is ready to be given away."""

    file: str
    """The name that suits it."""
    content: bytes
    open: tuple[str, ...]
    """What of the assignment is not done."""


def handed_in(store: Store, typed: str, assignment: Assignment | None) -> HandedIn:
    """The work of somebody who has typed `name` or `name; id`. Raises HandInError, ProgressError."""
    name, _, student = typed.partition(";")
    name = clean_name(name)
    work = hand_in(store.read(), name, student.strip(), __version__, assignment)
    if not work.lessons and not work.exercises:
        raise HandInError(tr("There is nothing to hand in yet."))
    still = tuple(missing(work, assignment)) if assignment is not None else ()
    return HandedIn(file_name(name), as_file(work), still)


def write_hand_in(store: Store, typed: str, assignment: Assignment | None, folder: Path) -> str:
    """Write it into a folder, under a name that is free; what is to be said then."""
    try:
        work = handed_in(store, typed, assignment)
        path = _created(folder / work.file, work.content)
    except (HandInError, ProgressError) as error:
        return str(error)
    except OSError as error:
        return reason(error)
    said = tr("Written: {file}. Give it to your teacher.").format(file=path.absolute())
    return "\n".join((said, *(f"{tr('still open')}: {line}" for line in work.open)))


def _created(path: Path, content: bytes) -> Path:
    """The file, under the first name that is free: others may hand in into the same folder at this moment."""
    name, number = path, 1
    while True:
        try:
            create_file(name, content, private=True)
        except FileExistsError:
            number += 1
            name = path.with_name(f"{path.stem}-{number}{path.suffix}")
        else:
            return name

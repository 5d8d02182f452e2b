"""What is wrong with a driver of one's own before anything is run: for its author; whoever uses it needs none of it."""

from model.driver_files.check import check
from model.driver_files.findings import DriverFault
from model.script.own_driver import usable


def checked(text: str) -> tuple[DriverFault, ...]:
    """What is wrong with a driver, by place. Raises ScriptError if it cannot be read or used."""
    usable(text)
    return check(text)

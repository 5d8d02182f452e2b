"""Every kernel function there is: otherwise each module is imported with the first command that calls it."""

from importlib import import_module
from pkgutil import walk_packages
from typing import cast

from model import kernel
from model.engine.procedure import Procedure
from model.memory.tasks import Locals


def all_procedures() -> dict[str, type[Procedure]]:
    """All procedures by their names, those of the kernel and any other that has been defined."""
    for module in walk_packages(kernel.__path__, f"{kernel.__name__}."):
        import_module(module.name)
    return cast("dict[str, type[Procedure]]", Locals.registry)

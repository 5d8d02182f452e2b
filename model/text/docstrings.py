"""Docstrings that a learner reads. Where Python was told to leave them out (`-OO`), they are read from the source."""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ast import AST

LEFT_OUT: Final = sys.flags.optimize > 1


def docstring(of: type | Callable[..., object]) -> str:
    """The docstring of a class or a function of this program; empty if there is none.

    >>> docstring(docstring).partition(";")[0]
    'The docstring of a class or a function of this program'
    """
    if of.__doc__ or not LEFT_OUT:
        return of.__doc__ or ""
    return written_in(of.__module__).get(of.__qualname__, "")


@cache
def written_in(module: str) -> Mapping[str, str]:
    """Qualified name → docstring, for the classes and functions of a module and for the methods of its classes."""
    from ast import PyCF_ONLY_AST  # noqa: PLC0415 - hardly anybody needs it

    spec = sys.modules[module].__spec__
    get_source = getattr(spec and spec.loader, "get_source", None)
    source = get_source(module) if get_source is not None else None
    if not source:
        return {}
    # Not ast.parse: from Python 3.14 on it leaves docstrings out, too, where the interpreter does.
    return dict(_docstrings(compile(source, module, "exec", PyCF_ONLY_AST, dont_inherit=True, optimize=0), ""))


def _docstrings(within: "AST", prefix: str) -> Iterator[tuple[str, str]]:
    from ast import ClassDef, FunctionDef, get_docstring, iter_child_nodes  # noqa: PLC0415 - likewise

    for node in iter_child_nodes(within):
        if isinstance(node, ClassDef | FunctionDef):
            yield prefix + node.name, get_docstring(node, clean=False) or ""
        if isinstance(node, ClassDef):
            yield from _docstrings(node, f"{prefix}{node.name}.")

"""Faults that a program answers itself."""

from typing import Final

from model.engine.procedure import Procedure
from model.script.calls.call import Builder, Call


def _open(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd import FEATURES, userfaultfd_open

    return userfaultfd_open(mm=call.name("P"), uffd=call.name("U"), features=call.words(FEATURES))


def _register(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd import MODES
    from model.kernel.mm.userfaultfd_register import userfaultfd_register

    start, pages = call.pages()
    modes = call.bits(MODES)
    return userfaultfd_register(caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages, modes=modes)


def _unregister(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_register import userfaultfd_unregister

    start, pages = call.pages()
    return userfaultfd_unregister(caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages)


def _copy(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_fill import userfaultfd_copy

    start, pages = call.pages()
    return userfaultfd_copy(
        caller=call.name("P"),
        uffd=call.name("U"),
        start=start,
        pages=pages,
        source_start=call.pages(key="FROM").start,
        wp=call.given("wp"),
    )


def _zeropage(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_fill import userfaultfd_zeropage

    start, pages = call.pages()
    return userfaultfd_zeropage(caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages)


def _poison(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_fill import userfaultfd_poison

    start, pages = call.pages()
    return userfaultfd_poison(caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages)


def _move(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_move import userfaultfd_move

    start, pages = call.pages()
    source_start = call.pages(key="FROM").start
    return userfaultfd_move(
        caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages, source_start=source_start
    )


def _continue(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_fill import userfaultfd_continue

    start, pages = call.pages()
    wp = call.given("wp")
    return userfaultfd_continue(caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages, wp=wp)


def _writeprotect(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_wp import userfaultfd_writeprotect

    start, pages = call.pages()
    wp = call.given("wp")
    return userfaultfd_writeprotect(caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages, protect=wp)


def _wake(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd import userfaultfd_wake

    start, pages = call.pages()
    return userfaultfd_wake(caller=call.name("P"), uffd=call.name("U"), start=start, pages=pages)


def _read(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_event import userfaultfd_read

    return userfaultfd_read(caller=call.name("P"), uffd=call.name("U"))


def _close(call: Call) -> Procedure:
    from model.kernel.mm.userfaultfd_register import userfaultfd_release

    return userfaultfd_release(caller=call.name("P"), uffd=call.name("U"))


CALLS: Final[dict[str, Builder]] = {
    "userfaultfd": _open,
    "uffdio-register": _register,
    "uffdio-unregister": _unregister,
    "uffdio-copy": _copy,
    "uffdio-zeropage": _zeropage,
    "uffdio-move": _move,
    "uffdio-poison": _poison,
    "uffdio-continue": _continue,
    "uffdio-writeprotect": _writeprotect,
    "uffdio-wake": _wake,
    "uffd-read": _read,
    "uffd-close": _close,
}

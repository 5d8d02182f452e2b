"""Processes, their mappings, and what they do with their own memory."""

from typing import Final, cast

from model.engine.procedure import Procedure
from model.script.calls.call import Builder, Call
from model.script.command import BackingSpec


def _process(call: Call) -> Procedure:
    from model.kernel.mm.mm_alloc import mm_alloc

    return mm_alloc(mm=call.name("P"), cpu=call.number("cpu"))


def _fork(call: Call) -> Procedure:
    from model.kernel.mm.fork import kernel_clone

    return kernel_clone(mm=call.name("P"), child=call.name("CHILD"))


def _exit(call: Call) -> Procedure:
    from model.kernel.mm.exit import do_exit

    return do_exit(mm=call.name("P"))


def _mmap(call: Call) -> Procedure:
    """Without `fixed`, a place that is asked for must be free: MAP_FIXED_NOREPLACE."""
    from model.kernel.mm import mmap

    backing = cast("BackingSpec", call.command.operands["BACKING"])
    flags = mmap.MAP_SHARED if call.name("SHARE") == "shared" else mmap.MAP_PRIVATE
    flags |= call.bits(
        {
            "populate": mmap.MAP_POPULATE,
            "locked": mmap.MAP_LOCKED,
            "noreserve": mmap.MAP_NORESERVE,
            "growsdown": mmap.MAP_GROWSDOWN,
        }
    )
    at = call.number("at")
    if call.given("fixed"):
        flags |= mmap.MAP_FIXED
    elif at >= 0:
        flags |= mmap.MAP_FIXED_NOREPLACE
    return mmap.do_mmap(
        mm=call.name("P"),
        pages=call.number("PAGES"),
        prot=call.number("PROT"),
        flags=flags,
        backing=backing.kind,
        file=backing.of,
        offset=call.number("offset", 0),
        at=at,
        label=call.name("LABEL"),
    )


def _mremap(call: Call) -> Procedure:
    from model.kernel.mm.mremap import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap

    start, pages = call.pages()
    flags = call.bits({"to": MREMAP_FIXED, "maymove": MREMAP_MAYMOVE, "dontunmap": MREMAP_DONTUNMAP})
    new_pages = call.number("pages")
    return do_mremap(
        mm=call.name("P"), start=start, pages=pages, new_pages=new_pages, flags=flags, to=call.number("to")
    )


def _munmap(call: Call) -> Procedure:
    from model.kernel.mm.munmap import do_munmap

    start, pages = call.pages()
    return do_munmap(mm=call.name("P"), start=start, pages=pages)


def _mprotect(call: Call) -> Procedure:
    from model.kernel.mm.mprotect import do_mprotect

    start, pages = call.pages()
    return do_mprotect(mm=call.name("P"), start=start, pages=pages, prot=call.number("PROT"))


def _madvise(call: Call) -> Procedure:
    from model.kernel.mm.madvise import do_madvise

    start, pages = call.pages()
    return do_madvise(mm=call.name("P"), start=start, pages=pages, advice=call.name("ADVICE"))


def _mlock(call: Call) -> Procedure:
    from model.kernel.mm.mlock import do_mlock

    start, pages = call.pages()
    return do_mlock(mm=call.name("P"), start=start, pages=pages)


def _munlock(call: Call) -> Procedure:
    from model.kernel.mm.mlock import do_munlock

    start, pages = call.pages()
    return do_munlock(mm=call.name("P"), start=start, pages=pages)


def _mseal(call: Call) -> Procedure:
    from model.kernel.mm.mseal import do_mseal

    start, pages = call.pages()
    return do_mseal(mm=call.name("P"), start=start, pages=pages)


def _msync(call: Call) -> Procedure:
    from model.kernel.mm.msync import do_msync

    start, pages = call.pages()
    return do_msync(mm=call.name("P"), start=start, pages=pages)


def _read(call: Call) -> Procedure:
    from model.kernel.arch.access import cpu_load

    return cpu_load(mm=call.name("P"), vpn=call.page())


def _write(call: Call) -> Procedure:
    from model.kernel.arch.access import cpu_store

    return cpu_store(mm=call.name("P"), vpn=call.page(), value=call.number("BYTE"))


def _remote_read(call: Call) -> Procedure:
    from model.kernel.mm.remote import process_vm_readv

    return process_vm_readv(mm=call.name("P"), target=call.name("TARGET"), vpn=call.page("TARGET"))


def _remote_write(call: Call) -> Procedure:
    from model.kernel.mm.remote import process_vm_writev

    return process_vm_writev(
        mm=call.name("P"), target=call.name("TARGET"), vpn=call.page("TARGET"), value=call.number("BYTE")
    )


def _force_write(call: Call) -> Procedure:
    from model.kernel.mm.remote import mem_write

    return mem_write(mm=call.name("P"), target=call.name("TARGET"), vpn=call.page("TARGET"), value=call.number("BYTE"))


def _reclaim(call: Call) -> Procedure:
    from model.kernel.mm.reclaim import reclaim_page

    return reclaim_page(mm=call.name("P"), vpn=call.page())


def _migrate(call: Call) -> Procedure:
    from model.kernel.mm.migrate import migrate_pages

    return migrate_pages(mm=call.name("P"), vpn=call.page())


def _ksm_scan(call: Call) -> Procedure:
    from model.kernel.mm.ksmd import ksm_do_scan

    return ksm_do_scan(scans=call.number("N", 1), use_zero_pages=call.given("use-zero-pages"))


CALLS: Final[dict[str, Builder]] = {
    "process": _process,
    "fork": _fork,
    "exit": _exit,
    "mmap": _mmap,
    "munmap": _munmap,
    "mprotect": _mprotect,
    "mremap": _mremap,
    "madvise": _madvise,
    "mlock": _mlock,
    "munlock": _munlock,
    "mseal": _mseal,
    "msync": _msync,
    "read": _read,
    "write": _write,
    "remote-read": _remote_read,
    "remote-write": _remote_write,
    "force-write": _force_write,
    "reclaim": _reclaim,
    "migrate": _migrate,
    "ksm-scan": _ksm_scan,
}

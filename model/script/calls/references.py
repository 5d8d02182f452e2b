"""Ways to get hold of pages, and what their holders do with them."""

from typing import Final

from model.engine.procedure import Procedure
from model.memory.flags import FOLL_FORCE, FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE
from model.script.calls.call import Builder, Call

FOLL: Final = {"write": FOLL_WRITE, "longterm": FOLL_LONGTERM, "force": FOLL_FORCE}


def _gup(call: Call) -> Procedure:
    from model.kernel.mm.reference import take_reference

    start, pages = call.pages()
    return take_reference(
        name=call.name("as"),
        mm=call.name("P"),
        start=start,
        pages=pages,
        foll=call.bits(FOLL) | (FOLL_PIN if call.given("pin") else FOLL_GET),
        how=next(iter(call.words(("slow", "fast-only"))), "fast"),
        by=call.name("by"),
    )


def _follow(call: Call) -> Procedure:
    from model.kernel.virt.kvm import kvm_follow, kvm_vcpu_map

    start, pages = call.pages()
    procedure = kvm_vcpu_map if call.given("vcpu-map") else kvm_follow
    return procedure(name=call.name("as"), mm=call.name("P"), start=start, pages=pages, by=call.name("by"))


def _grab(call: Call) -> Procedure:
    from model.kernel.drivers.grab_pages import grab_pages

    start, pages = call.pages()
    raw = call.given("raw")
    return grab_pages(name=call.name("as"), mm=call.name("P"), start=start, pages=pages, by=call.name("by"), raw=raw)


def _set_gpte(call: Call) -> Procedure:
    from model.kernel.virt.kvm_gpte import kvm_cmpxchg_gpte

    return kvm_cmpxchg_gpte(mm=call.name("P"), vpn=call.page(), value=call.number("BYTE"))


def _userptr(call: Call) -> Procedure:
    from model.kernel.mm.frame_vector import get_vaddr_frames

    start, pages = call.pages()
    return get_vaddr_frames(name=call.name("as"), mm=call.name("P"), start=start, pages=pages, by=call.name("by"))


def _mirror(call: Call) -> Procedure:
    from model.kernel.mm.hmm import mirror_range

    start, pages = call.pages()
    return mirror_range(name=call.name("as"), mm=call.name("P"), start=start, pages=pages, by=call.name("by"))


def _io_register(call: Call) -> Procedure:
    from model.kernel.mm.reference import io_sqe_buffer_register

    start, pages = call.pages()
    return io_sqe_buffer_register(name=call.name("as"), mm=call.name("P"), start=start, pages=pages, by=call.name("by"))


def _vmsplice(call: Call) -> Procedure:
    from model.kernel.mm.reference import vmsplice_get

    start, pages = call.pages()
    return vmsplice_get(name=call.name("as"), mm=call.name("P"), start=start, pages=pages)


def _direct_read(call: Call) -> Procedure:
    from model.kernel.mm.remote import direct_read_in

    return direct_read_in(mm=call.name("P"), vpn=call.page(), value=call.number("BYTE"))


def _direct_write(call: Call) -> Procedure:
    from model.kernel.mm.remote import direct_write_out

    return direct_write_out(mm=call.name("P"), vpn=call.page())


def _put(call: Call) -> Procedure:
    from model.kernel.mm.reference import put_reference

    return put_reference(name=call.name("R"), dirty=call.given("dirty"))


def _dma(call: Call) -> Procedure:
    from model.kernel.drivers.dma import device_access

    held, write = call.held, call.name("ACCESS") == "write"
    return device_access(reference=held.reference, page=held.page, write=write, value=call.number("BYTE", 0))


def _peek(call: Call) -> Procedure:
    from model.kernel.drivers.dma import peek_reference

    return peek_reference(reference=call.held.reference, page=call.held.page)


CALLS: Final[dict[str, Builder]] = {
    "gup": _gup,
    "follow": _follow,
    "grab": _grab,
    "set-gpte": _set_gpte,
    "userptr": _userptr,
    "mirror": _mirror,
    "io-register": _io_register,
    "vmsplice": _vmsplice,
    "direct-read": _direct_read,
    "direct-write": _direct_write,
    "put": _put,
    "dma": _dma,
    "peek": _peek,
}

"""Buffers of drivers, and their export as dma-bufs."""

from typing import Final, cast

from model.engine.procedure import Procedure
from model.memory.buffer_records import Place
from model.script.calls.call import Builder, Call


def _bo(call: Call) -> Procedure:
    """A buffer of its driver's own pages, or, a udmabuf, of those of a memfd."""
    from model.kernel.drivers.driver import driver_of

    kind = call.name("exporter") or "qxl"
    if driver_of(call.state, kind).backing == "borrow:memfd":
        from model.kernel.drivers.udmabuf import udmabuf_create

        memfd = call.name("memfd")
        return udmabuf_create(name=call.name("B"), pages=call.number("PAGES"), memfd=memfd, exporter=kind)
    from model.kernel.drivers.gem import gem_create

    return gem_create(
        name=call.name("B"),
        pages=call.number("PAGES"),
        place=cast("Place", call.name("in") or "system"),
        exporter=kind,
        caching=call.name("caching") or "wc",
    )


def _destroy(call: Call) -> Procedure:
    from model.kernel.drivers.gem import gem_destroy

    return gem_destroy(name=call.name("B"))


def _export(call: Call) -> Procedure:
    from model.kernel.drivers.dma_buf import dma_buf_export

    return dma_buf_export(buffer=call.name("B"), name=call.name("as"))


def _attach(call: Call) -> Procedure:
    from model.kernel.drivers.dma_buf import dma_buf_attach

    return dma_buf_attach(dmabuf=call.name("D"), device=call.name("DEV"), dynamic=call.given("dynamic"))


def _map(call: Call) -> Procedure:
    from model.kernel.drivers.dma_buf import dma_buf_map_attachment

    return dma_buf_map_attachment(dmabuf=call.name("D"), device=call.name("DEV"), name=call.name("as"))


def _unmap(call: Call) -> Procedure:
    from model.kernel.drivers.dma_buf import dma_buf_unmap_attachment

    return dma_buf_unmap_attachment(name=call.name("R"))


def _detach(call: Call) -> Procedure:
    from model.kernel.drivers.dma_buf import dma_buf_detach

    return dma_buf_detach(dmabuf=call.name("D"), device=call.name("DEV"))


def _gpu_map(call: Call) -> Procedure:
    from model.kernel.drivers.gpu import i915_vma_bind

    return i915_vma_bind(buffer=call.name("B"), device=call.name("DEV"), name=call.name("as"))


def _gpu_unmap(call: Call) -> Procedure:
    from model.kernel.drivers.gpu import i915_vma_unbind

    return i915_vma_unbind(name=call.name("R"))


def driver_operation(call: Call) -> Procedure:
    """What the driver of a buffer does with it: the verb names its operation."""
    from model.kernel.drivers.driver_steps import operation

    return operation(call.state, call.name("B"), call.command.verb, call.name("PLACE"))


CALLS: Final[dict[str, Builder]] = {
    "bo": _bo,
    "destroy": _destroy,
    "export": _export,
    "attach": _attach,
    "map": _map,
    "unmap": _unmap,
    "detach": _detach,
    "gpu-map": _gpu_map,
    "gpu-unmap": _gpu_unmap,
    "move": driver_operation,
    "evict": driver_operation,
    "invalidate": driver_operation,
}

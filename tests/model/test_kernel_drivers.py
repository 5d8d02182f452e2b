"""Drivers of the kernel, and eight wrong ones: the search says of each what reading the kernel says."""

from typing import Final, NamedTuple

import pytest

from model.driver_files import library
from model.script.parser import parse
from model.script.runner import Runner
from model.search.bfs import explore
from model.search.problem import set_up

MAPPED: Final = "device nic\nprocess p0\nbo b {pages} exporter={driver}\nmmap p0 buf bo:b shared rw {pages}\n"
MOVED: Final = MAPPED + "write p0 buf+{page} 65\nmay 1 move b vram\nmay 1 write p0 buf+{page} 66\n"


class Mistake(NamedTuple):
    """A wrong driver, the driver that it is but for one mistake, and a scene that shows it."""

    driver: str
    right: str
    scene: str
    breaks: str
    """The rule, or the property."""
    pages: int = 1


NO_BOUNDS: Final = (
    "process p0\nprocess p1\nbo b 1 exporter={driver}\nbo c 1 exporter={driver}\nmmap p1 own bo:c shared rw 1\n"
    "write p1 own 83\nmmap p0 buf bo:b shared rw 2\nmay 1 read p0 buf+1\n"
    "never same p0 buf+1 p1 own\n"
)
EARLY_FREE: Final = MAPPED + "write p0 buf 65\nmay 1 {shrink} b\nmay 1 write p0 buf 66\n"
LATE_NOTIFY: Final = (
    MAPPED + "write p0 buf 65\nexport b as=d\nattach d nic dynamic\nmap d nic as=m\nmay 1 move b vram\n"
    "may 1 dma m write 66\n"
)
RAW: Final = MAPPED + "write p0 buf 65\nmay 1 start b\nmay 1 move b vram\nmay 1 dma b-kept write 66\n"
MISTAKES: Final = (
    Mistake("no-bounds", "", NO_BOUNDS, "never same p0 buf+1 p1 own"),
    Mistake("early-free", "qxl", EARLY_FREE, "foreign-access"),
    Mistake("early-switch", "qxl", MOVED, "lost-store"),
    Mistake("late-notify", "qxl", LATE_NOTIFY, "foreign-dma"),
    Mistake("no-flush", "qxl", MOVED, "foreign-access"),
    Mistake("part-zap", "qxl", MOVED, "foreign-access", pages=2),
    Mistake("pfnmap-page", "vgem", MAPPED + "may 1 write p0 buf 66\n", "splat"),
    Mistake("raw-numbers", "", RAW, "foreign-dma"),
)


def broken(text: str) -> set[str]:
    """The rules and properties that some schedule breaks, of those that matter: no hazards."""
    search = explore(set_up(parse(text)), 20_000)
    assert search.complete
    return {name for name, severity in search.found if severity != "hazard"}


def scene_of(mistake: Mistake, driver: str) -> str:
    """Its scene with a driver."""
    shrink = "shrink" if driver == mistake.driver else "evict"
    return mistake.scene.format(driver=driver, pages=mistake.pages, page=mistake.pages - 1, shrink=shrink)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.driver)
def test_a_wrong_driver_breaks_what_it_must(mistake: Mistake) -> None:
    assert mistake.breaks in broken(scene_of(mistake, mistake.driver))


@pytest.mark.parametrize("mistake", [one for one in MISTAKES if one.right], ids=lambda mistake: mistake.driver)
def test_without_the_mistake_nothing_breaks(mistake: Mistake) -> None:
    assert broken(scene_of(mistake, mistake.right)) == set()


def test_every_driver_that_is_wrong_on_purpose_says_so() -> None:
    assert set(library.WRONG) == {name for name in library.bundled() if "Wrong on purpose." in library.text_of(name)}
    assert {mistake.driver for mistake in MISTAKES} <= set(library.WRONG)


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.3"])
def test_vfio_takes_the_entries_away_before_the_memory_is_off(kernel: str) -> None:
    scene = (
        f"set kernel {kernel}\nprocess p0\nbo b 1 exporter=vfio-pci\nmmap p0 buf bo:b shared rw 1\n"
        "may 1 disable b\nmay 1 write p0 buf 65\nfinal absent p0 buf\n"
    )
    assert broken(scene) == set()


def run(script: str) -> Runner:
    """A script carried out; its expectations hold."""
    runner = Runner()
    for command in parse(script):
        account = runner.perform(command)
        assert account.outcome.status != "failed", (command.text, account.outcome)
    return runner


def test_a_device_that_is_switched_off_answers_with_sigbus_until_it_is_on_again() -> None:
    run(
        "process p0\nbo b 2 exporter=vfio-pci\nmmap p0 buf bo:b shared rw 2\nwrite p0 buf 65\ndisable b\n"
        "expect absent p0 buf\nread p0 buf+1\nexpect signal SIGBUS\nenable b\nread p0 buf\nexpect value 65\n"
    )


def test_what_uio_has_mapped_stays_with_its_entries_when_the_device_goes() -> None:
    run(
        "process p0\nbo b 2 exporter=uio\nmmap p0 buf bo:b shared rw 2\nwrite p0 buf 65\nunregister b\nread p0 buf\n"
        "expect value 65\nread p0 buf+1\nexpect signal SIGBUS\n"
    )


def test_the_first_write_to_each_page_of_a_shadow_buffer_is_noted() -> None:
    runner = run(
        "process p0\nbo b 2 exporter=fb-defio\nmmap p0 buf bo:b shared rw 2\nread p0 buf\nexpect not writable p0 buf\n"
        "write p0 buf 65\nexpect writable p0 buf\n"
    )
    assert "dirty" in runner.context.state.buffers["b"].states
    runner.perform(parse("bo b 2 exporter=fb-defio\nflush b\n")[-1])
    assert "dirty" not in runner.context.state.buffers["b"].states


def test_binder_maps_by_an_operation_and_a_fault_is_sigbus() -> None:
    run(
        "process p0\nbo b 2 exporter=binder\nmmap p0 no bo:b shared rw 2\nexpect error EPERM\n"
        "mmap p0 buf bo:b shared r 2\nread p0 buf\nexpect signal SIGBUS\n"
        "transact b\nexpect present p0 buf+1\nshrink b\nexpect absent p0 buf\nshrink b\nexpect error ENOENT\n"
        "transact b\nread p0 buf\nexpect ok\nmprotect p0 buf rw\nexpect error EACCES\n"
    )


def test_a_dma_buf_of_local_memory_is_pinned_in_system_memory_for_every_importer() -> None:
    run(
        "device nic\nprocess p0\nbo b 1 in=vram exporter=i915-lmem\nexport b as=d\nattach d nic dynamic\n"
        "move b vram\nexpect error EINVAL\n"
    )


def test_a_private_mapping_that_can_be_written_ends_in_a_bug_of_vmf_insert_pfn() -> None:
    """etnaviv_gem_mmap_obj() of 6.12 sets VM_PFNMAP and does not ask; vmf_insert_pfn_prot() does."""
    scene = (
        "set kernel {kernel}\nprocess p0\nbo b 1 exporter=etnaviv\nmmap p0 buf bo:b private rw 1\nmay 1 read p0 buf\n"
    )
    assert broken(scene.format(kernel="6.1")) == set()
    assert broken(scene.format(kernel="6.12")) == {"splat"}

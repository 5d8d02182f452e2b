"""Truncating a DAX file waits for whoever holds its storage: for how long differs between kernels."""

import pytest

from tests.model.broken_machines import broken, changed
from tests.model.play import Play

HELD = "process p0\ndevice nic\ndax x 1\nmmap p0 m dax:x shared rw 1\nwrite p0 m 65\ngup p0 m as=r write by=nic"
REMAPPED = f"{HELD}\nbegin T truncate x 0\nfinish T\nread p0 m\nput r"


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_a_page_that_is_only_mapped_again_keeps_nobody_waiting(kernel: str) -> None:
    """Up to 6.14 an entry counts nothing: dax_page_is_idle() is a count of 1."""
    play = Play(f"set kernel {kernel}", REMAPPED)
    assert play.do("finish T") == "ok"
    assert play.do("read p0 m") == "signal SIGBUS"


@pytest.mark.parametrize("kernel", ["6.18", "7.3"])
def test_a_mapped_page_is_not_idle_where_entries_count(kernel: str) -> None:
    """7.3 include/linux/dax.h: dax_page_is_idle() is a count of 0, and the sleeper asks nothing else."""
    play = Play(f"set kernel {kernel}", REMAPPED)
    assert play.do("finish T").startswith("blocked on the last reference on page 0 of x")
    play.do("munmap p0 m")
    assert play.do("finish T") == "ok"


@pytest.mark.parametrize("kernel", ["6.1", "7.3"])
def test_mappings_alone_are_taken_away(kernel: str) -> None:
    play = Play(f"set kernel {kernel}", "process p0\ndax x 1\nmmap p0 m dax:x shared rw 1\nwrite p0 m 65")
    assert play.do("truncate x 0") == "ok"


def test_a_block_that_its_file_has_given_back_is_as_bad_as_a_free_frame_to_have() -> None:
    """The allocator never gets storage, but the filesystem hands the block to the next file that needs one."""
    state = Play("set kernel 6.18", HELD).state
    (pfn,) = state.references["r"].frames
    assert {"freed-while-mapped", "freed-while-referenced"} <= set(
        broken(changed(state, lambda tx: tx.frames.update(pfn, mapping="")))
    )

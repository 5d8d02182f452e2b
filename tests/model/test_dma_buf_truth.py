"""The model answers like real kernels what driver mappings do, cell by cell."""

import pytest

from tests.model.dma_buf_truth import KERNELS, MAPPINGS, PROBES, Probe, recorded_cells


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mapping", sorted(MAPPINGS))
def test_every_probe_of_a_mapping(kernel: str, mapping: str) -> None:
    wanted = recorded_cells(kernel, mapping)
    probe = Probe(kernel, mapping)
    assert {name: PROBES[name](probe) for name in wanted} == wanted


def test_the_matrix_is_compared_nearly_whole() -> None:
    cells = sum(len(recorded_cells(kernel, mapping)) for kernel in KERNELS for mapping in MAPPINGS)
    assert cells > 1450

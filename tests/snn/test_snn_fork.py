"""Neurons in a forked child, as workers of PyTorch's data loaders are."""

import os
import sys

import pytest
import torch

from speck_adacal.snn import AdaFire


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_gives_the_same(tmp_path):
    x = torch.rand(4, 8, 6, 5, 5, generator=torch.Generator().manual_seed(0))

    def run():
        with torch.no_grad():
            return AdaFire(0.4, phi=2)(x.clone())

    expected = run()  # starts the threads of the kernel
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # as PyTorch's data loaders do in their workers
        os._exit(0 if torch.equal(run(), expected) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, sys.platform

# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.networks.compiled_network import CompiledNetwork, check_compiler
from monai_ept.networks.unwrap_network import unwrap
from tests.backbones import images_for
from tests.engines.scenes import small_net


@pytest.fixture
def graphs():
    torch._dynamo.reset()
    return []


def counting(graphs):
    def backend(graph, inputs):
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    return backend


def test_one_graph_for_all_batches_also_of_one_image(graphs):
    net = small_net(dropout=0.0).train()
    fast = CompiledNetwork(net, counting(graphs))
    x = images_for(net.vit)
    for images in (torch.cat([x, x]), torch.cat([x, x]), torch.cat([x, x])[:3], x[:1], torch.cat([x, x])):
        net.zero_grad()
        expected = net(images)
        expected.square().sum().backward()
        gradients = {name: param.grad.clone() for name, param in net.named_parameters() if param.grad is not None}
        net.zero_grad()
        out = fast(images)
        out.square().sum().backward()
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        for name, gradient in gradients.items():
            torch.testing.assert_close(net.get_parameter(name).grad, gradient, rtol=1e-3, atol=1e-5)
    assert len(graphs) == 1


def test_a_process_may_compile_as_many_networks_as_a_sweep_has(graphs):
    """PyTorch's own limit is eight of a kind, and in one graph or with an error the ninth would be an error."""
    images, backend = torch.rand(3, 4), counting(graphs)
    for width in (*range(1, 13), 1, 2):
        network = torch.nn.Linear(4, width)
        assert torch.equal(CompiledNetwork(network, backend)(images), network(images))
    assert len(graphs) == 12  # networks that are built alike share one


def test_the_network_stays_what_it_is():
    net = small_net()
    fast = CompiledNetwork(net, "eager")
    assert unwrap(fast) is net
    assert {id(param) for param in fast.parameters()} == {id(param) for param in net.parameters()}


def test_without_a_compiler_it_is_refused(monkeypatch):
    from torch._inductor import cpp_builder

    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    cpp_builder.get_cpp_compiler.cache_clear() if hasattr(cpp_builder.get_cpp_compiler, "cache_clear") else None
    with pytest.raises(ValueError, match=r"compile=True needs a C\+\+ compiler on a CPU and there is none here"):
        check_compiler(torch.device("cpu"))

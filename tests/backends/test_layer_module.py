"""A layer as a torch module: parameters, copies, processes, compilation, export."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import rnndsl
from rnndsl.backends.torch import LayerInputError, LayerOptionError, NonFiniteError, TransformError

pytestmark = pytest.mark.usefixtures("each_backend")
torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[2]


class Model(nn.Module):
    """A layer between two linear maps, as in a user's model."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.layer = rnndsl.layer("lstm", 4, 5, **options)
        self.last = nn.Linear(self.layer.output_size, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.layer(self.first(x))
        return self.last(y)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["F", "range", "torch", "inputs", "T"])
def test_a_cell_may_have_any_name(name: str) -> None:
    text = (
        f"cell {name}(D):\n    input x: [D]\n    state h: [D]\n    param w: [D, D]\n"
        "    h' = tanh(w @ h + x)\n    y = linear[D](h')\n    return y\n"
    )
    rnndsl.layer(rnndsl.parse(text), 3)(torch.randn(2, 1, 3))[0].sum().backward()


def test_values_may_have_the_names_of_what_generated_code_calls() -> None:
    text = (
        "cell C(D):\n    input x: [D]\n    state h: [D]\n    zip = tanh(h + x)\n"
        "    range = zip * x\n    reversed = range + zip\n    h' = reversed\n    return h'\n"
    )
    layer = rnndsl.layer(rnndsl.parse(text), 3)
    layer(torch.randn(2, 1, 3, requires_grad=True))[0].sum().backward()


def test_a_cell_without_parameters_follows_dtype_and_to() -> None:
    cell = rnndsl.parse(
        "cell C(D):\n    input x: [D]\n    state h: [D]\n    h' = h + x\n    return h'\n"
    )
    x = torch.ones(2, 1, 3, dtype=torch.float64)
    for layer in (rnndsl.layer(cell, 3, dtype=torch.float64), rnndsl.layer(cell, 3).double()):
        assert layer(x)[0].dtype == torch.float64
        assert not layer.state_dict()


def test_a_layer_follows_to() -> None:
    layer = rnndsl.layer("lstm", 3, 5)
    x = torch.randn(4, 2, 3)
    exact = copy.deepcopy(layer).double()(x.double())[0]
    assert exact.dtype == torch.float64
    rough, _ = copy.deepcopy(layer).to(torch.bfloat16)(x.bfloat16())
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.double(), exact, atol=0.03, rtol=0.03)
    torch.testing.assert_close(layer(x)[0].double(), exact, atol=1e-6, rtol=1e-5)


def test_under_autocast_the_layer_computes_in_its_own_dtype() -> None:
    layer = rnndsl.layer("lstm", 3, 5, num_layers=2)
    x = torch.randn(4, 2, 3).bfloat16()
    weight = layer.first.tensor("i.h.weight")
    y, _ = layer(x.float())
    (gradient,) = torch.autograd.grad(y.sum(), weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = layer(x)
        (found_gradient,) = torch.autograd.grad(found.sum(), weight)
    assert found.dtype == torch.float32
    assert torch.equal(found, y)
    assert torch.equal(found_gradient, gradient)


@pytest.mark.parametrize("cell", ["lstm", "hyperlstm", "mlstm"])
def test_without_passes_a_layer_computes_the_same(cell: str) -> None:
    found = []
    for passes in ("default", "none", "cse,pack-gates,dce"):
        torch.manual_seed(0)
        layer = rnndsl.layer(cell, 4, 8, passes=passes, dtype=torch.float64)
        torch.manual_seed(1)
        x = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)
        y, _ = layer(x)
        gradients = torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])
        found.append([y, *gradients, layer.stream(2)(x[0].detach())])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-10, atol=1e-10)


def test_the_description_names_cell_and_sizes() -> None:
    text = repr(rnndsl.layer("rhn", 3, 5, num_layers=2, dropout=0.25, depth=2))
    assert "RHN, D=3, H=5, num_layers=2, dropout=0.25" in text


def test_flops_count_two_for_each_weight() -> None:
    flops = rnndsl.layer("lstm", 3, 5).flops_per_step()
    products = 2 * 4 * 5 * (3 + 5)
    assert products < flops < 3 * products


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 5}, "dimension D of the cell has no size"),
        ({"input_size": 3}, "dimension H of the cell has no size"),
        ({"input_size": 3, "hidden_size": 5, "depht": 3}, "no dimension or number `depht`"),
        ({"input_size": 3, "hidden_size": 0}, "hidden_size must be a whole number from 1"),
        ({"input_size": 3, "hidden_size": 5, "num_layers": 0}, "num_layers must be"),
        ({"input_size": 3, "hidden_size": 5, "num_layers": True}, "num_layers must be"),
        ({"input_size": 3, "hidden_size": 5, "dropout": 2.0}, "dropout must be"),
        ({"input_size": 3, "hidden_size": 5, "backend": "fast"}, "backend `fast`"),
        ({"input_size": 3, "hidden_size": 5, "dtype": torch.int64}, "dtype must be"),
        ({"input_size": 3, "hidden_size": 5, "device": "nope"}, "device must be one that torch"),
        ({"input_size": 3, "hidden_size": 5, "device": 2.5}, "device must be one that torch"),
        ({"input_size": 3, "hidden_size": 5, "num_layers": "2"}, "num_layers must be"),
        ({"input_size": 3, "hidden_size": 5, "dropout": None}, "dropout must be"),
        ({"input_size": 3, "hidden_size": 5, "bidirectional": "no"}, "bidirectional must be True"),
        ({"input_size": 3, "hidden_size": 5, "passes": "cs"}, "did you mean `cse`?"),
        ({"input_size": 3, "hidden_size": 5, "passes": 3}, "passes must be names"),
        ({"input_size": 3, "hidden_size": 5, "recompute": "all"}, "'cheap' or 'most', not 'all'"),
    ],
)
def test_wrong_options_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerOptionError) as caught:
        rnndsl.layer("lstm", **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["lengths", "reset", "taps", "x"])
def test_an_input_that_no_call_could_give_is_named(name: str) -> None:
    text = f"cell C(D):\n    input a: [D]\n    input {name}: [D]\n    return a + {name}\n"
    with pytest.raises(LayerOptionError, match=f"input `{name}` of the cell has the name"):
        rnndsl.layer(rnndsl.parse(text), 3)


def test_a_transform_over_a_layer_is_a_clear_error() -> None:
    layer = rnndsl.layer("lstm", 3, 5)
    with pytest.raises(TransformError, match="torch.func"):
        torch.func.vmap(lambda x: layer(x)[0])(torch.randn(6, 4, 2, 3))


def test_a_cell_that_cannot_be_stacked_says_why() -> None:
    window = rnndsl.parse(
        "cell W(D, H):\n    input x: [D]\n    state last: [D]\n"
        "    y = linear[H](x, last)\n    last' = x\n    return y\n"
    )
    rnndsl.layer(window, 3, 5)
    with pytest.raises(LayerOptionError, match="state last would have another shape"):
        rnndsl.layer(window, 3, 5, 2)
    guided = rnndsl.parse(
        "cell G(D, H):\n    input x: [D]\n    input hint: [D]\n"
        "    y = linear[H](x, hint)\n    return y\n"
    )
    rnndsl.layer(guided, 5, 5, 2)
    with pytest.raises(LayerOptionError, match="input hint would have another shape"):
        rnndsl.layer(guided, 3, 5, 2)


def test_the_first_value_that_is_not_finite_is_found() -> None:
    torch.manual_seed(0)
    layer = rnndsl.layer("lstm", 3, 5, 2, check_finite=True)
    x = torch.randn(4, 2, 3)
    layer(x)
    assert layer.find_nonfinite(x) is None
    x[2, 1, 0] = float("inf")
    x[3, 0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="input `x` is infinite at step 2") as caught:
        rnndsl.layer("elman", 3, 5, check_finite=True, rectified=1)(x)
    assert caught.value.step == 2
    with torch.no_grad():
        dict(layer.named_parameters())["layers.1.g.bias"][2] = float("nan")
    with pytest.raises(NonFiniteError) as caught:
        layer(torch.randn(4, 2, 3))
    text = str(caught.value)
    assert "layer 1" in text and "g = tanh(linear[H](x, h))" in text


def test_an_overflow_is_traced_to_its_equation() -> None:
    cell = rnndsl.parse(
        "cell C(D, H):\n    input x: [D]\n    state h: [H]\n"
        "    a = exp(linear[H](x, h))\n    b = a * 2\n    h' = b\n    return h'\n"
    )
    torch.manual_seed(0)
    found = rnndsl.layer(cell, 3, 5).find_nonfinite(torch.randn(40, 2, 3))
    assert found is not None
    assert found.value == "`a`"
    assert found.kind == "infinite"


def test_states_that_begin_infinite_are_no_fault() -> None:
    layer = rnndsl.layer("slstm", 3, 4, check_finite=True)
    layer(torch.randn(4, 2, 3))


def test_torch_compile_sees_one_call() -> None:
    torch.manual_seed(0)
    model = Model()
    seen = []

    def keep(module: torch.fx.GraphModule, examples: object) -> torch.fx.GraphModule:
        seen.append(module)
        return module

    x = torch.randn(4, 2, 3)
    compiled = torch.compile(model, fullgraph=True, backend=keep)
    torch.testing.assert_close(compiled(x), model(x))
    calls = [n for n in seen[0].graph.nodes if "rnndsl" in str(n.target)]
    assert len(calls) == 1
    torch._dynamo.reset()


def test_a_compiled_layer_takes_lengths_and_restarts() -> None:
    torch.manual_seed(0)
    layer = rnndsl.layer("lstm", 3, 4, backend="torch")
    x, lengths, reset = torch.randn(5, 2, 3), torch.tensor([5, 3]), torch.rand(5, 2) < 0.3

    def run(x: Tensor, lengths: Tensor, reset: Tensor) -> Tensor:
        y: Tensor = layer(x, lengths=lengths, reset=reset)[0]
        return y

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, lengths, reset), run(x, lengths, reset))
    torch._dynamo.reset()


def test_a_compiled_model_trains_at_any_length_without_compiling_again() -> None:
    torch.manual_seed(0)
    model = Model()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)
    torch._dynamo.utils.counters.clear()
    for steps, batch in ((4, 2), (7, 3), (5, 6)):
        x = torch.randn(steps, batch, 3)
        wanted = torch.autograd.grad(model(x).sin().sum(), list(model.parameters()))
        found = torch.autograd.grad(compiled(x).sin().sum(), list(model.parameters()))
        torch.testing.assert_close(found, wanted)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    torch._dynamo.reset()


def test_an_exported_model_runs_in_another_process_at_other_sizes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Model(bidirectional=True).eval()
    dims = {"x": {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}}
    exported = torch.export.export(model, (torch.randn(4, 2, 3),), dynamic_shapes=dims)
    calls = [n for n in exported.graph.nodes if "rnndsl" in str(n.target)]
    assert len(calls) == 2  # one for each direction
    torch.export.save(exported, tmp_path / "model.pt2")
    x = torch.randn(9, 5, 3)
    with torch.no_grad():
        torch.save((x, model(x)), tmp_path / "example.pt")
    code = (
        "import sys, torch, rnndsl.backends.torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"  # threads change the rounding
        "model = torch.export.load(sys.argv[1] + '/model.pt2').module()\n"
        "x, y = torch.load(sys.argv[1] + '/example.pt')\n"
        "with torch.no_grad():\n"
        "    torch.testing.assert_close(model(x), y, rtol=0, atol=0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)


_WORKER = """
import sys, torch, torch.distributed as dist, rnndsl
from torch.nn.parallel import DistributedDataParallel
torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + folder + "/store", rank=rank, world_size=2)
torch.manual_seed(rank)
layer = rnndsl.layer("lstm", 3, 5)
model = DistributedDataParallel(layer)
torch.manual_seed(7)
x = torch.randn(4, 6, 3)
y, _ = model(x[:, 3 * rank : 3 * rank + 3])
y.square().mean().backward()
mean = {n: p.grad.clone() for n, p in layer.named_parameters()}
layer.zero_grad()
layer(x)[0].square().mean().backward()
for name, parameter in layer.named_parameters():
    torch.testing.assert_close(mean[name], parameter.grad)
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_share_gradients(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORKER, str(rank), str(tmp_path)], cwd=ROOT)
        for rank in range(2)
    ]
    try:
        assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()


def test_another_default_device_does_not_matter() -> None:
    x = torch.randn(4, 2, 3, requires_grad=True)
    with torch.device("meta"):
        layer = rnndsl.layer("lstm", 3, 5, device="cpu")
        y, _ = layer(x, lengths=[4, 2])
        y.sum().backward()
        step = layer.stream(2)(x[0].detach())
    assert x.grad is not None
    assert {t.device.type for t in (y, step, x.grad, *layer.parameters())} == {"cpu"}
    with torch.device("meta"), pytest.raises(LayerInputError, match="from 1 to 4"):
        layer(x, lengths=[5, 2])


def test_a_layer_of_tensors_without_numbers_tells_shapes() -> None:
    with FakeTensorMode():
        layer = rnndsl.layer("lstm", 3, 5)
        x = torch.empty(4, 2, 3, requires_grad=True)
        y, (h, _) = layer(x)
        y.sum().backward()
    assert x.grad is not None
    assert (y.shape, h.shape, x.grad.shape) == ((4, 2, 5), (1, 2, 5), (4, 2, 3))
    assert all(parameter.grad is not None for parameter in layer.parameters())

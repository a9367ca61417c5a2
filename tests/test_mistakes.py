"""Common mistakes: PyTorch's exception type, its words first, and then what was given and what would do."""

import pytest
import torch

import flowtorch

# Each line is a mistake, and after the arrow what flowtorch's message has to say besides PyTorch's words.
MISTAKES = """
torch.ones(2, 3) @ torch.ones(2, 3) -> matmul: input float32[2, 3], other float32[2, 3]
torch.ones(2, 2) @ torch.ones(2, 2).double() -> float64[2, 2]
torch.mm(torch.ones(2, 2, 2), torch.ones(2, 2)) -> mm: input float32[2, 2, 2]
torch.mv(torch.ones(2, 3), torch.ones(2)) -> vec float32[2]
torch.dot(torch.ones(3), torch.ones(2)) -> float32[3]
torch.bmm(torch.ones(2, 3, 4), torch.ones(3, 4, 5)) -> float32[3, 4, 5]
nn.Linear(3, 4)(torch.ones(5, 2)) -> linear: input float32[5, 2], weight float32[4, 3]
nn.Linear(3, 4)(torch.ones(5, 3).double()) -> input float64[5, 3]
nn.Linear(3, 4)(torch.ones(5, 3).long()) -> input int64[5, 3]
torch.addmm(torch.ones(4), torch.ones(2, 3).half(), torch.ones(3, 4)) -> mat1 float16[2, 3]
nn.Conv2d(3, 8, 3)(torch.ones(1, 1, 8, 8)) -> input[1, 1, 8, 8]
nn.Conv2d(3, 8, 3)(torch.ones(8, 8)) -> size: [8, 8]
nn.Conv2d(3, 8, 9)(torch.ones(1, 3, 4, 4)) -> (4 x 4)
nn.Conv2d(3, 8, 3)(torch.ones(1, 3, 8, 8).double()) -> (double)
nn.Conv2d(3, 8, 3, groups=2) -> groups
F.cross_entropy(torch.ones(4, 3), torch.zeros(5, dtype=torch.int64)) -> (5)
F.cross_entropy(torch.ones(4, 3), torch.zeros(4)) -> .long()
F.cross_entropy(torch.ones(4, 3), torch.zeros(4, dtype=torch.int32)) -> .long()
F.cross_entropy(torch.ones(4, 3), torch.full((4,), 3)) -> input float32[4, 3]
F.cross_entropy(torch.ones(4, 3, 2), torch.zeros(4, 2, dtype=torch.uint8)) -> Byte
F.mse_loss(torch.ones(4, 3), torch.ones(5, 3)) -> (4)
F.binary_cross_entropy(torch.full((2,), 2.0), torch.ones(2)) -> input float32[2]
F.binary_cross_entropy(torch.full((2,), 0.5), torch.ones(2, dtype=torch.int64)) -> one dtype
F.binary_cross_entropy_with_logits(torch.ones(2), torch.ones(2, dtype=torch.int64)) -> floating-point target
F.kl_div(torch.ones(2), torch.ones(2, dtype=torch.int64), reduction="sum") -> torch.int64
nn.Embedding(3, 2)(torch.ones(2)) -> FloatTensor
nn.Embedding(3, 2)(torch.tensor([3])) -> embedding: weight float32[3, 2], indices int64[1]
torch.ones(3)[5] -> size 3
torch.ones(3)[torch.tensor([5])] -> float32[3]
torch.ones(3)[torch.tensor([True, False])] -> [2]
torch.gather(torch.ones(2, 2), 0, torch.full((1, 2), 9)) -> gather: input float32[2, 2], dim 0, index int64[1, 2]
torch.zeros(2, 2).scatter(0, torch.zeros(1, 2).long(), torch.ones(1, 2).double()) -> src float64[1, 2]
torch.index_select(torch.ones(2, 2), 0, torch.zeros(1, 1).long()) -> index int64[1, 1]
torch.ones(2, 2).sum(2) -> sum: input float32[2, 2], dim 2
torch.ones(300, 400).sum(5) -> float32[300, 400]
torch.ones(300, 400).sum(-3) -> float32[300, 400]
torch.softmax(torch.ones(2), 3) -> input float32[2], dim 3
torch.cat([torch.ones(2, 3), torch.ones(2, 4)]) -> [float32[2, 3], float32[2, 4]]
torch.stack([torch.ones(2), torch.ones(3)]) -> [3]
torch.ones(2, 3) + torch.ones(4) -> add: input float32[2, 3], other float32[4]
torch.ones(3).add_(torch.ones(2, 3)) -> [2, 3]
torch.ones(3, dtype=torch.int64).add_(0.5) -> Long
x.add_(1) -> no_grad()
x.view(3).mul_(2) -> no_grad()
(x * 2).backward() -> [3]
torch.ones(1).sum().backward() -> no_grad()
torch.autograd.grad(x.sum(), y) -> allow_unused
x.numpy() -> detach
bool(torch.ones(2)) -> any()
torch.ones(2).item() -> [2]
float(torch.ones(2)) -> [2]
torch.ones(2, 3).t().view(6) -> reshape
torch.ones(2, 3).view(4) -> input float32[2, 3]
torch.ones(2, 3).expand(4, 3) -> [4, 3]
torch.ones(2, 3).permute(0, 0) -> dims (0, 0)
torch.ones(5).split([2, 2]) -> [2, 2]
torch.tensor([[1, 2], [3]]) -> dim 1
torch.tensor("a") -> str
torch.tensor([1, "a"]) -> str
torch.tensor([None]) -> numbers
torch.zeros(-1) -> zeros
torch.ones(2, dtype=torch.int64).mean() -> Long
torch.ones(2, dtype=torch.int64).std() -> .float()
torch.ones(3).topk(5) -> k 5
torch.tensor([2]) // 0 -> other 0
torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(2, 3)) -> subscript j
nn.LayerNorm(4)(torch.ones(2, 3)) -> [2, 3]
nn.BatchNorm2d(3)(torch.ones(2, 4, 2, 2)) -> 4
nn.LSTM(3, 4)(torch.ones(5, 2, 2)) -> got 2
F.scaled_dot_product_attention(torch.ones(2, 3, 4), torch.ones(2, 3, 5), torch.ones(2, 3, 5)) -> [2, 5]
F.pad(torch.ones(2, 2), (1, 1, 1)) -> 3 numbers
F.one_hot(torch.tensor([3]), 2) -> largest is 3
nn.Linear(2, 2).load_state_dict({"weight": torch.ones(3, 2), "bias": torch.ones(2)}) -> torch.Size([3, 2])
nn.Linear(2, 2).load_state_dict({"weight": torch.ones(2, 2)}) -> "bias"
torch.optim.SGD([], lr=0.1) -> empty
torch.optim.SGD(nn.Linear(2, 2), lr=0.1) -> parameters()
torch.optim.SGD([x * 2], lr=0.1) -> leaf
torch.optim.Adam([x], lr=-1) -> -1
torch.utils.data.TensorDataset(torch.ones(2), torch.ones(3)) -> [2, 3]
list(torch.utils.data.DataLoader([torch.ones(1), torch.ones(2)], batch_size=2)) -> [2] at entry 1
torch.linalg.inv(torch.ones(2, 3)) -> 2 by 3
torch.linalg.cholesky(-torch.eye(2)) -> positive-definite
torch.distributions.Normal(0.0, -1.0) -> scale
"""
LINES = [line.split(" -> ") for line in MISTAKES.strip().splitlines()]


def mistake(library, text):
    """Return the exception that an expression raises in a library."""
    x, y = (library.ones(3, requires_grad=True) for _ in range(2))
    names = {"torch": library, "nn": library.nn, "F": library.nn.functional, "x": x, "y": y}
    with pytest.raises(Exception) as caught:
        eval(text, names)
    return caught.value


@pytest.mark.parametrize(("text", "said"), LINES, ids=[text for text, _ in LINES])
@pytest.mark.filterwarnings("ignore")
def test_a_mistake_is_named(text, said):
    theirs, ours = mistake(torch, text), mistake(flowtorch, text)
    assert type(ours).__name__ == type(theirs).__name__
    assert str(ours).startswith(str(theirs).strip().splitlines()[0].rstrip(".")[:60])
    assert said in str(ours)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cumsum", "cumprod", "cummax", "logcumsumexp"])
@pytest.mark.parametrize("dim", [None, [1], 1.5])
def test_a_dimension_is_an_integer(name, dim):
    for library in (torch, flowtorch):
        with pytest.raises(TypeError, match=rf"^{name}\(\): argument 'dim' .*must be int, not {type(dim).__name__}"):
            getattr(library.ones(3, 4), name)(dim)

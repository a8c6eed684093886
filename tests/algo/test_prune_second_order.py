"""Second-order block pruning: order of removal, least squares, channel order, the method as a whole."""

import numpy as np
import pytest
import torch

from algo.data import normalise
from algo.macs import count_work
from algo.prune.budget import fit
from algo.prune.curvature import measure_curvature
from algo.prune.least_squares import NormalEquations, solve
from algo.prune.methods import weights_of
from algo.prune.order import by_importance, reorder
from algo.prune.plan import PruningPlan, apply_plan
from algo.prune.second_order import second_order
from algo.prune.surgeon import damped, removal_costs
from algo.tokens.count import topk_schedule
from flows.contracts.errors import ConfigError
from tests.algo.pruning import logits_of, micro_subject


def moments(inputs: int, seed: int = 0) -> torch.Tensor:
    mix = torch.randn(4 * inputs, inputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mix = mix @ torch.randn(inputs, inputs, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return damped(mix.T @ mix / len(mix), 0.01)


def best_without(weight: torch.Tensor, gram: torch.Tensor, gone: list[int]) -> float:
    """Least error of 16 rows of weights when the inputs of the blocks ``gone`` are zero."""
    left = torch.tensor([i for i in range(len(gram)) if i // 16 not in gone], dtype=torch.long)
    new = torch.zeros_like(weight)
    if len(left):
        new[:, left] = torch.linalg.solve(gram[left][:, left], gram[left] @ weight.T).T
    return float(((weight - new) @ gram * (weight - new)).sum())


def test_costs_are_those_of_a_greedy_search_by_brute_force() -> None:
    gram = moments(64)
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    costs = removal_costs(weight, gram)
    for row in range(2):
        part, gone, before, highest = weight[16 * row:16 * row + 16], [], 0.0, 0.0
        for _ in range(4):
            errors = {block: best_without(part, gram, [*gone, block]) for block in range(4) if block not in gone}
            cheapest = min(errors, key=lambda block: errors[block])
            highest = max(highest, errors[cheapest] - before)
            assert float(costs[row, cheapest]) == pytest.approx(highest, rel=1e-6)
            gone.append(cheapest)
            before = errors[cheapest]


def test_compensation_is_the_optimum() -> None:
    """The objective's gradient vanishes in every kept weight and in the bias; the others are zero."""
    generator = torch.Generator().manual_seed(3)
    x, wanted = torch.randn(200, 48, generator=generator), torch.randn(200, 32, generator=generator)
    weight, bias = torch.randn(32, 48, generator=generator), torch.randn(32, generator=generator)
    mask = np.array([[True, False, True], [False, True, False]])
    equations = NormalEquations(48, 32)
    equations.add(x[:150], wanted[:150])
    equations.add(x[150:], wanted[150:])
    new, offset = solve(equations, mask, weight, bias, 0.1)
    new.requires_grad_(True)
    offset.requires_grad_(True)
    level = 0.1 * x.double().square().sum(dim=0).mean()
    error = (x.double() @ new.T + offset - wanted.double()).square().sum()
    (error + level * (new - weight.double()).square().sum()).backward()
    full = torch.from_numpy(mask.repeat(16, 0).repeat(16, 1))
    assert new.grad is not None and offset.grad is not None
    assert float(new.grad[full].abs().max()) < 1e-3 < float(new.grad[~full].abs().max())
    assert float(offset.grad.abs().max()) < 1e-3
    assert bool((new[~full] == 0).all())


def test_order_changes_nothing_but_the_order() -> None:
    subject = micro_subject()
    rng = np.random.default_rng(0)
    order = {"blocks.0.mlp": rng.permutation(256), "blocks.1.pairs": by_importance(rng.random(64), 2),
             "blocks.2.values": by_importance(rng.random(64), 2)}
    state = weights_of(subject)
    changed = reorder(state, order)
    assert not torch.equal(changed["blocks.1.attn.qkv.weight"], state["blocks.1.attn.qkv.weight"])
    torch.testing.assert_close(logits_of(changed, subject), logits_of(state, subject), atol=1e-5, rtol=1e-5)
    assert sorted(changed["blocks.0.mlp.fc1.bias"].tolist()) == sorted(state["blocks.0.mlp.fc1.bias"].tolist())


@pytest.mark.parametrize("order", [{"blocks.9.mlp": np.arange(256)}, {"blocks.0.mlp": np.zeros(256, dtype=int)},
                                   {"blocks.0.heads": np.arange(2)}, {"blocks.0.values": np.arange(32)}])
def test_order_that_does_not_fit(order: dict) -> None:
    with pytest.raises(ConfigError, match="order"):
        reorder(weights_of(micro_subject(1)), order)


def test_importance_stays_within_heads() -> None:
    assert by_importance(np.array([1.0, 3.0, 2.0, 9.0, 7.0, 9.0]), 2).tolist() == [1, 2, 0, 3, 5, 4]


def test_curvature_of_the_head_side_layer() -> None:
    """Output curvature equals the gradients that autograd gives image by image."""
    subject = micro_subject(3)
    found = measure_curvature(subject)["blocks.2.mlp.fc2"]
    model = subject.model
    expected = torch.zeros(64, dtype=torch.float64)
    for index in range(3):
        images = normalise(subject.pixels[index:index + 1], subject.mean, subject.std)
        output: list[torch.Tensor] = []
        handle = model.blocks[2].mlp.fc2.register_forward_hook(
            lambda module, inputs, value, kept=output: kept.append(value.requires_grad_(True)) or kept[0])
        loss = torch.nn.functional.cross_entropy(model(images), torch.from_numpy(subject.labels[index:index + 1]))
        handle.remove()
        (gradient,) = torch.autograd.grad(loss, output)
        expected += gradient[0].double().square().sum(dim=0)
    torch.testing.assert_close(found.outputs, expected, rtol=1e-4, atol=1e-12)
    assert found.tokens == 3 * 17
    values = torch.linalg.eigvalsh(found.inputs)
    assert float(values[0]) > -1e-6 * float(values[-1])


@pytest.fixture(scope="module", name="case")
def fixture_case() -> tuple:
    subject = micro_subject(24)
    return subject, second_order(subject)


def test_dense_and_monotone(case: tuple) -> None:
    subject, family = case
    torch.testing.assert_close(logits_of(family.at(1.0).state, subject), logits_of(weights_of(subject), subject),
                               atol=1e-5, rtol=1e-5)
    macs = [count_work(family.sketch(share).state, 2).macs for share in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert macs == sorted(macs) and len(set(macs)) == 5


def test_meets_the_budget_and_compensation_helps(case: tuple) -> None:
    subject, family = case
    dense = count_work(weights_of(subject), 2).macs
    fitted = fit(family, lambda pruned: count_work(pruned.state, 2).macs, 0.7 * dense)
    assert 0.69 * dense < fitted.cost <= 0.7 * dense
    sketch = family.sketch(fitted.share)
    assert {name: mask.tolist() for name, mask in sketch.masks.items()} == \
        {name: mask.tolist() for name, mask in fitted.pruned.masks.items()}
    wanted = logits_of(weights_of(subject), subject)
    errors = [float((logits_of(state, subject) - wanted).square().mean())
              for state in (sketch.state, fitted.pruned.state)]
    assert errors[1] < 0.3 * errors[0]


def test_the_plan_alone_gives_the_same_masks(case: tuple) -> None:
    subject, family = case
    pruned = family.at(0.5)
    again = apply_plan(weights_of(subject), pruned.plan)
    assert isinstance(pruned.plan, PruningPlan)
    assert set(again.masks) == set(pruned.masks)
    assert all((again.masks[name] == mask).all() for name, mask in pruned.masks.items())


def test_deterministic_and_with_token_drop() -> None:
    subject = micro_subject(8, labels=False, drops=topk_schedule(17, (1,), 0.5))
    first, second = (second_order(subject).at(0.6).state for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert bool(torch.isfinite(logits_of(first, subject)).all())

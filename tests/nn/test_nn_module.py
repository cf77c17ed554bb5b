"""Module: what counts as a parameter, in which order, under which name, in any structure."""

from __future__ import annotations

import copy
import pickle

import pytest

from microgradopt import Tensor, Value, nn


class Bag(nn.Module):
    """A module that holds whatever it is given."""

    def __init__(self, **contents):
        vars(self).update(contents)

    def forward(self, x):
        return x


def named(module):
    return [(name, p.item()) for name, p in module.named_parameters()]


def test_parameters_in_any_nesting_of_containers_and_modules():
    bag = Bag(
        a=Value(1.0),
        many=[Value(2.0), (Value(3.0), {"x": Value(4.0), 7: Value(5.0)})],
        inner=Bag(w=Tensor([6.0]), deeper=[Bag(b=Value(7.0))]),
    )
    assert named(bag) == [
        ("a", 1.0),
        ("many.0", 2.0),
        ("many.1.0", 3.0),
        ("many.1.1.x", 4.0),
        ("many.1.1.7", 5.0),
        ("inner.w", 6.0),
        ("inner.deeper.0.b", 7.0),
    ]
    assert bag.parameters() == [p for _, p in bag.named_parameters()]


def test_the_order_is_that_of_definition_and_stable():
    bag = Bag(z=Value(1.0), a=Value(2.0), m=Bag(q=Value(3.0)), b=Value(4.0))
    assert [name for name, _ in bag.named_parameters()] == ["z", "a", "m.q", "b"]
    bag.a = Value(9.0)
    assert [name for name, _ in bag.named_parameters()] == ["z", "a", "m.q", "b"]


def test_a_shared_parameter_counts_once_under_its_first_name():
    w = Tensor([1.0])
    shared = Bag(w=w)
    bag = Bag(first=w, again=[w, w], inner=shared, same=shared)
    assert named(bag) == [("first", 1.0)]
    assert [name for name, _ in bag.named_modules()] == ["", "inner"]


def test_one_list_under_two_names_counts_once():
    many = [Value(1.0), Value(2.0)]
    assert named(Bag(a=many, b=many)) == [("a.0", 1.0), ("a.1", 2.0)]


def test_constants_results_and_plain_data_are_no_parameters():
    w = Value(1.0)
    bag = Bag(
        w=w,
        constant=Tensor([1.0], requires_grad=False),
        detached=w.detach(),
        result=w * 2.0,
        buffer=[1.0, 2.0],
        text="w",
        nothing=None,
        function=len,
        kind=Value,
    )
    assert bag.parameters() == [w]


def test_changes_are_seen_without_registering():
    bag = Bag(layers=[Value(1.0)])
    bag.layers.append(Value(2.0))
    bag.extra = Value(3.0)
    assert len(bag.parameters()) == 3
    del bag.extra
    assert len(bag.parameters()) == 2


@pytest.fixture
def family():
    """A child that knows its parent."""
    parent = Bag(w=Value(1.0), child=Bag(w=Value(2.0)))
    parent.child.parent = parent
    return parent


def test_a_module_that_holds_its_parent(family):
    assert named(family) == [("w", 1.0), ("child.w", 2.0)]
    assert named(family.child) == [("w", 2.0), ("parent.w", 1.0)]
    assert [name for name, _ in family.named_modules()] == ["", "child"]
    assert family.eval().child.training is False
    assert family.train().child.training is True
    family.zero_grad()
    assert repr(family) == "Bag(child=Bag(parent=...))"
    twin = copy.deepcopy(family)
    assert twin.child.parent is twin
    assert pickle.loads(pickle.dumps(family)).child.w.data == 2.0


def test_containers_that_hold_themselves_end():
    many = [Value(1.0)]
    many.append(many)
    table = {"w": Value(2.0)}
    table["self"] = table
    assert named(Bag(many=many, table=table)) == [("many.0", 1.0), ("table.w", 2.0)]


def test_depth_is_no_limit():
    bag = Bag(w=Value(0.0))
    for _ in range(5000):
        bag = Bag(inner=bag)
    ((name, p),) = bag.named_parameters()
    assert name.count(".") == 5000
    assert p.data == 0.0


def test_name_parameters_writes_the_names_on_the_nodes():
    bag = Bag(w=Value(1.0, name="old"), inner=[Bag(b=Value(2.0))])
    assert bag.name_parameters() is bag
    assert [p.name for p in bag.parameters()] == ["w", "inner.0.b"]


def test_a_prefix_stands_before_every_name():
    bag = Bag(w=Value(1.0), inner=Bag(b=Value(2.0)))
    assert [name for name, _ in bag.named_parameters("net")] == ["net.w", "net.inner.b"]
    assert [name for name, _ in bag.named_modules("net")] == ["net", "net.inner"]


def test_training_mode_is_each_modules_own():
    a, b = Bag(inner=Bag()), Bag()
    assert a.training
    a.eval()
    assert (a.training, a.inner.training, b.training) == (False, False, True)
    a.inner.train()
    assert (a.training, a.inner.training) == (False, True)
    assert nn.Module.training is True


def test_forward_must_be_written():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define forward\(\)"):
        Empty()(1.0)


def test_arguments_of_a_call_reach_forward():
    class Scale(nn.Module):
        def __init__(self):
            self.k = Value(2.0)

        def forward(self, x, *, plus=0.0):
            return self.k * x + plus

    assert Scale()(3.0, plus=1.0).item() == 7.0


def test_repr_shows_the_modules_inside():
    assert repr(Bag(w=Value(1.0), inner=Bag())) == "Bag(inner=Bag())"

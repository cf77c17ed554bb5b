"""Module: what counts as a parameter, in which order, under which name, in any structure."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from microgradopt import Tensor, Value, nn
from microgradopt.errors import DTypeError, MicrogradoptError, StateError, UsageError
from microgradopt.nn.states import Buffer


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


@pytest.mark.parametrize("mode", ["eval", 0, None])
def test_the_mode_is_true_or_false(mode):
    with pytest.raises(UsageError, match="Bag: mode must be True or False, got"):
        Bag().train(mode)


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


# State


class Whole(nn.Module):
    """One of everything that training changes, and things it does not."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.w = Tensor(self.rng.normal(size=(2, 3)))
        self.b = [Value(float(seed))]
        self.narrow = Tensor(np.float32([seed]), dtype=np.float32)
        self.running = Buffer(np.full(2, seed, float))
        self.count = Buffer(np.array(seed))
        self.constant = Tensor([9.0 + seed], requires_grad=False)
        self.result = self.w * 2.0
        self.again = {"w": self.w, "rng": self.rng}

    def forward(self, x):
        return x


def test_a_state_has_everything_once_and_is_a_copy():
    module = Whole()
    state = module.state_dict()
    assert list(state) == ["rng", "w", "b.0", "narrow", "running", "count", "constant"]
    assert state["rng"]["bit_generator"] == "PCG64"
    state["w"][...] = 7.0
    state["rng"]["state"]["state"] = 1
    assert not (module.w.data == 7.0).any()
    assert module.rng.bit_generator.state["state"]["state"] != 1
    assert [name for name, _ in module.named_buffers()] == ["running", "count"]
    assert module.buffers() == [module.running, module.count]


def test_a_state_makes_another_module_the_same():
    first, second = Whole(0), Whole(1)
    state = first.state_dict()
    state["w"][0, 0] = np.nan
    second.load_state_dict(state)
    np.testing.assert_equal(second.state_dict(), state)
    state["w"][...] = 7.0
    assert not (second.w.data == 7.0).any()


def test_a_wrong_state_is_refused_with_all_that_differs_and_changes_nothing():
    module = Whole(1)
    before = module.state_dict()
    state = Whole(0).state_dict()
    del state["b.0"]
    state |= {"more": 1.0, "w": np.zeros((3, 2)), "narrow": np.zeros(1), "running": 2.0}
    state["count"] = np.zeros(())
    state["rng"] = {"bit_generator": "MT19937"}
    with pytest.raises(StateError) as caught:
        module.load_state_dict(state)
    for line in [
        "b.0 is missing",
        "more is not expected",
        "w is float64 of shape (2, 3) here, float64 of shape (3, 2) in the state",
        "narrow is float32 of shape (1,) here, float64 of shape (1,) in the state",
        "running is float64 of shape (2,) here, float in the state",
        "count is int64 of shape () here, float64 of shape () in the state",
        "rng does not fit: a PCG64 generator cannot take the state of 'MT19937'",
    ]:
        assert f"\n  {line}" in str(caught.value)
    np.testing.assert_equal(module.state_dict(), before)
    with pytest.raises(StateError, match="a state is a dict, got list"):
        module.load_state_dict([])


def test_two_parameters_of_one_name_are_refused():
    with pytest.raises(StateError, match=r"two parameters are named 'x\.1'"):
        Bag(x={1: Value(1.0), "1": Value(2.0)}).state_dict()


# Freezing


def test_frozen_parameters_stay_in_the_state_and_come_back():
    net = nn.MLP(2, [4, 3], rng=0)
    names = list(net.state_dict())
    net.layers[0].weight.grad = np.ones((4, 2))
    assert net.freeze("layers.0.weight", "layers.2") is net
    assert [name for name, _ in net.named_parameters()] == ["layers.0.bias"]
    assert net[0].weight.grad is None
    assert list(net.state_dict()) == names
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(twin.state_dict()) == names
        assert len(twin.unfreeze().parameters()) == 4
    net[2].unfreeze("bias")
    assert [name for name, _ in net.named_parameters()] == ["layers.0.bias", "layers.2.bias"]
    assert len(net.freeze().parameters()) == 0
    assert len(net.unfreeze().parameters()) == 4


@pytest.mark.parametrize("frozen", [True, False])
def test_requires_grad_set_by_hand_is_what_freeze_sets(frozen):
    net, other = nn.MLP(2, [4, 3], rng=0), nn.MLP(2, [4, 3], rng=1)
    for x in (net, other):
        x[0].weight.requires_grad = False
    assert list(net.state_dict()) == [f"layers.{i}.{k}" for i in (0, 2) for k in ("weight", "bias")]
    assert len(net.parameters()) == 3
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other[0].weight.data, net[0].weight.data)
    assert net.summary((5, 2)).trainable == 27 - 8
    (net.freeze if frozen else net.unfreeze)("layers.0")
    assert net[0].weight.requires_grad is not frozen


def test_unfreezing_trains_constants_but_no_buffer():
    module = Whole().unfreeze()
    assert module.constant.requires_grad
    assert not module.running.requires_grad
    assert len(module.parameters()) == 4
    names = "w, b.0, narrow, constant"
    for name in ("running", "count", "nothing", "rng", "result", "b.1", "b.0.x"):
        with pytest.raises(UsageError, match=f"named '{name}'; its parameters are {names}"):
            module.freeze("w", name)
    assert len(module.parameters()) == 4


def test_a_shared_parameter_is_frozen_in_every_module_that_has_it():
    w = Tensor([1.0])
    bag = Bag(a=Bag(w=w), b=Bag(w=w)).freeze("a")
    assert list(bag.b.state_dict()) == ["w"]
    bag.unfreeze()
    assert w.requires_grad
    assert bag.b.parameters() == [w]


@pytest.mark.parametrize("name", ["first", "deep", "deep.x", "deep.x.0", "deep.x.0.a.b", "child"])
def test_every_name_of_a_shared_parameter_freezes_it(name):
    w = Tensor([1.0])
    bag = Bag(first=w, deep={"x": [Bag(**{"a.b": w})]}, child=Bag())
    bag.child.parent = bag  # so that there are names without end
    assert bag.freeze(name).parameters() == []
    assert bag.unfreeze(f"child.parent.{name}").parameters() == [w]
    assert list(bag.state_dict()) == ["first"]


def test_names_of_any_depth_can_be_frozen():
    bag = Bag(w=Value(0.0))
    for _ in range(3000):
        bag = Bag(inner=bag)
    assert bag.freeze("inner." * 3000 + "w").parameters() == []


# Buffers


@pytest.mark.parametrize("data", [np.zeros(3, int), np.array(7, np.uint8), np.array([True, False])])
def test_a_buffer_keeps_whole_numbers_and_truth_values(data):
    buffer = Buffer(data)
    assert (buffer.dtype, buffer.shape) == (data.dtype, data.shape)
    assert not np.shares_memory(buffer.data, data)
    for twin in (copy.deepcopy(buffer), pickle.loads(pickle.dumps(buffer)), buffer.detach()):
        assert type(twin) is Buffer
        np.testing.assert_array_equal(twin.data, data)
        assert twin.dtype == data.dtype


def test_a_buffer_of_floats_is_a_tensor_that_is_not_trained():
    assert Buffer(np.float32([1.0])).dtype == np.float32
    assert Buffer([1, 2]).dtype == Buffer(3).dtype == np.float64
    assert Buffer([1, 2], dtype=np.int32).dtype == np.int32
    with pytest.raises(DTypeError, match="cannot be differentiated"):
        Tensor(np.zeros(3, int))


def test_a_buffer_takes_only_what_its_dtype_can_hold():
    count, mask = Buffer(np.array(250, np.uint8)), Buffer(np.array([True, False]))
    count.data = count.data + 1
    mask.data = [0, 1]
    assert (count.data, count.dtype) == (251, np.uint8)
    np.testing.assert_array_equal(mask.data, [False, True])
    beyond = [(count, -1), (count, 300), (count, 1.0), (mask, [0, 2]), (mask, [0.0, 1.0])]
    for buffer, wrong in beyond:
        before = buffer.data
        with pytest.raises(DTypeError, match=rf"dtype {buffer.dtype} cannot hold .* dtype"):
            buffer.data = wrong
        assert buffer.data is before
    for wrong in ([[1], [2, 3]], Value(1.0), [Value(1.0)], np.ma.masked_array([1, 2])):
        with pytest.raises(MicrogradoptError):
            Buffer(wrong, dtype=int)


def test_a_buffer_never_requires_a_gradient():
    buffer = Buffer([1.0])
    buffer.requires_grad = False
    with pytest.raises(UsageError, match="a Buffer is never trained"):
        buffer.requires_grad = True
    assert not buffer.requires_grad


# Hooks


def test_hooks_see_and_may_replace_the_output():
    bag, calls = Bag(), []
    first = bag.register_forward_hook(lambda m, args, out: calls.append((m, args, out)))
    with bag.register_forward_hook(lambda m, args, out: out + 1.0):
        assert bag(2.0) == 3.0
    assert bag(2.0) == 2.0
    first.remove()
    first.remove()
    assert bag(2.0) == 2.0
    assert calls == [(bag, (2.0,), 2.0)] * 2
    with pytest.raises(UsageError, match="a hook is a function"):
        bag.register_forward_hook(3)


def test_copies_have_no_hooks():
    bag = Bag(inner=Bag())
    bag.inner.register_forward_hook(lambda m, args, out: 0.0)
    for twin in (copy.copy(bag.inner), copy.deepcopy(bag).inner):
        assert twin(2.0) == 2.0
    assert pickle.loads(pickle.dumps(bag)).inner(2.0) == 2.0
    assert bag.inner(2.0) == 0.0


def test_activations_by_name_also_after_an_error():
    net = nn.Sequential(nn.Linear(2, 3, rng=0), nn.ReLU())
    with net.activations() as seen:
        out = net(np.ones((4, 2)))
    out.sum().backward()
    assert list(seen) == ["layers.0", "layers.1"]
    assert seen["layers.1"] is out
    assert seen["layers.0"].grad.shape == (4, 3)
    with pytest.raises(ZeroDivisionError), net.activations():
        1 / 0
    assert not net[0]._hooks


def test_apply_reaches_every_module():
    bag, seen = Bag(a=Bag(b=Bag()), c=[Bag()]), []
    assert bag.apply(seen.append) is bag
    assert seen == [bag, bag.a, bag.a.b, bag.c[0]] == bag.modules()


def test_a_module_of_ones_own_need_not_have_samples():
    assert nn.Module.samples() == []

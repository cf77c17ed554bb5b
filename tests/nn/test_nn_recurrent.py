"""Recurrent layers: sequences against single steps and formulas, options, states, errors."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, nn
from microgradopt.check import check_grads
from microgradopt.errors import DTypeError, ShapeError, UsageError
from microgradopt.nn.recurrences import ROWS

RNG = np.random.default_rng(0)
KINDS = [nn.RNN, nn.LSTM, nn.GRU]
CELLS = {nn.RNN: nn.RNNCell, nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_cell = pytest.mark.parametrize("kind", CELLS.values())


def hidden(states):
    """h of the states that a layer returns."""
    return states[0] if isinstance(states, tuple) else states


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


@every_kind
@pytest.mark.parametrize("bias", [True, False])
def test_a_sequence_is_its_steps(kind, bias):
    layer, cell = kind(3, 4, bias=bias, rng=0), CELLS[kind](3, 4, bias, rng=1)
    cell.load_state_dict({k.removesuffix("_l0"): x for k, x in layer.state_dict().items()})
    x = RNG.normal(size=(5, 2, 3))
    output, last = layer(x)
    states = None
    for t in range(5):
        states = cell(x[t], states)
        np.testing.assert_allclose(output.data[t], hidden(states).data, rtol=1e-14)
    np.testing.assert_allclose(hidden(last).data[0], hidden(states).data, rtol=1e-14)


def test_an_lstm_cell_is_what_its_formula_says():
    cell = nn.LSTMCell(3, 2, rng=0)
    x, h, c = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2)), RNG.normal(size=(4, 2))
    w, u, b, d = (p.data for p in cell.parameters())
    i, f, g, o = np.split(x @ w.T + b + h @ u.T + d, 4, axis=1)
    expected_c = logistic(f) * c + logistic(i) * np.tanh(g)
    new_h, new_c = cell(x, (h, c))
    np.testing.assert_allclose(new_c.data, expected_c, rtol=1e-13)
    np.testing.assert_allclose(new_h.data, logistic(o) * np.tanh(expected_c), rtol=1e-13)


def test_a_gru_cell_is_what_its_formula_says():
    cell = nn.GRUCell(3, 2, rng=0)
    x, h = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2))
    w, u, b, d = (p.data for p in cell.parameters())
    (a_r, a_z, a_n), (s_r, s_z, s_n) = (np.split(y, 3, axis=1) for y in (x @ w.T + b, h @ u.T + d))
    z, n = logistic(a_z + s_z), np.tanh(a_n + logistic(a_r + s_r) * s_n)
    np.testing.assert_allclose(cell(x, h).data, (1.0 - z) * n + z * h, rtol=1e-13)


@every_kind
def test_the_second_direction_sees_the_sequence_backwards(kind):
    both, back = kind(3, 2, bidirectional=True, rng=0), kind(3, 2, rng=1)
    state = both.state_dict()
    back.load_state_dict({k: state[f"{k}_reverse"] for k in back.state_dict()})
    x = RNG.normal(size=(5, 2, 3))
    output, last = both(x)
    expected, end = back(x[::-1])
    np.testing.assert_allclose(output.data[..., 2:], expected.data[::-1], rtol=1e-14)
    np.testing.assert_allclose(hidden(last).data[1], hidden(end).data[0], rtol=1e-14)


@every_kind
def test_layers_stand_on_each_other(kind):
    tall, low, high = kind(3, 2, 2, rng=0), kind(3, 2, rng=1), kind(2, 2, rng=2)
    state = tall.state_dict()
    low.load_state_dict({k: x for k, x in state.items() if k.endswith("_l0")})
    high.load_state_dict(
        {k.replace("_l1", "_l0"): x for k, x in state.items() if k.endswith("_l1")}
    )
    x = RNG.normal(size=(4, 2, 3))
    np.testing.assert_allclose(tall(x)[0].data, high(low(x)[0].data)[0].data, rtol=1e-14)


@every_kind
def test_batch_first_and_single_samples_are_the_same_numbers(kind):
    layer, first = kind(3, 2, 2, rng=0), kind(3, 2, 2, batch_first=True, rng=0)
    x = RNG.normal(size=(4, 2, 3))
    output, last = layer(x)
    swapped, end = first(x.swapaxes(0, 1))
    np.testing.assert_array_equal(swapped.data.swapaxes(0, 1), output.data)
    np.testing.assert_array_equal(hidden(end).data, hidden(last).data)
    for net in (layer, first):
        one, one_last = net(x[:, 1])
        np.testing.assert_allclose(one.data, output.data[:, 1], rtol=1e-13)
        np.testing.assert_allclose(hidden(one_last).data, hidden(last).data[:, 1], rtol=1e-13)


@every_kind
def test_a_sequence_in_two_parts_is_the_sequence(kind):
    layer = kind(3, 2, 2, rng=0)
    x = RNG.normal(size=(6, 2, 3))
    output, last = layer(x)
    early, states = layer(x[:4])
    late, end = layer(x[4:], states)
    np.testing.assert_allclose(np.concatenate([early.data, late.data]), output.data, rtol=1e-13)
    np.testing.assert_allclose(hidden(end).data, hidden(last).data, rtol=1e-13)


@pytest.mark.parametrize("name", ROWS)
def test_kernel_and_formula_agree_to_the_last_digits(name):
    for operands, _ in ROWS[name].sample(np.random.default_rng(1)):
        out = ROWS[name](*operands)
        np.testing.assert_allclose(out, ROWS[name].composite(*operands), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_by_its_start_alone(name):
    x, start, *rest = ROWS[name].sample(np.random.default_rng(1))[0][0]
    check_grads(lambda s: ROWS[name](x, s, *rest), start, order=2)


@pytest.mark.parametrize("steps", [1, 300])
def test_the_graph_does_not_grow_with_the_steps(steps):
    layer = nn.LSTM(3, 2, rng=0)
    before = Tensor([0.0]).index
    layer(RNG.normal(size=(steps, 2, 3)))
    assert Tensor([0.0]).index - before < 12


def test_saturated_gates_neither_warn_nor_give_nan():
    for kind in KINDS:
        x = Tensor([[[1e3]], [[-1e3]], [[1e300]]])
        output, _ = kind(1, 2, init=nn.init.xavier_normal, rng=0)(x)
        output.sum().backward()
        assert np.isfinite(output.data).all()
        assert np.isfinite(x.grad).all()


def test_dropout_is_between_layers_and_in_training_only():
    layer, plain = nn.GRU(3, 4, 2, dropout=0.5, rng=0), nn.GRU(3, 4, 2, rng=0)
    plain.load_state_dict({k: layer.state_dict()[k] for k in plain.state_dict()})
    x = RNG.normal(size=(3, 2, 3))
    once, again = layer(x), layer(x)
    assert not np.array_equal(once[0].data, again[0].data)
    np.testing.assert_array_equal(once[1].data[0], again[1].data[0])  # below the dropout
    np.testing.assert_array_equal(layer.eval()(x)[0].data, plain(x)[0].data)


def test_parameters_have_torchs_names_and_spread():
    layer = nn.LSTM(3, 25, 2, bidirectional=True, rng=0)
    expected = [
        f"{kind}_l{i}{back}"
        for i in (0, 1)
        for back in ("", "_reverse")
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    assert [name for name, _ in layer.named_parameters()] == expected
    assert layer.weight_ih_l1.shape == (100, 50)
    for p in layer.parameters():
        assert 0.17 < np.abs(p.data).max() <= 0.2


def test_an_initialiser_is_for_the_weights():
    layer = nn.GRU(3, 4, init=nn.init.orthogonal, rng=0)
    np.testing.assert_allclose(
        layer.weight_hh_l0.data.T @ layer.weight_hh_l0.data, np.eye(4), atol=1e-12
    )
    assert not layer.bias_ih_l0.data.any()
    with pytest.raises(ShapeError, match=r"RNN\(2, 3\) needs weight_ih_l0 of shape \(3, 2\)"):
        nn.RNN(2, 3, init=lambda shape, rng, dtype: np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.RNN(0, 2), "input_size must be an int of at least 1"),
        (lambda: nn.LSTM(2, 2.0), "hidden_size must be an int"),
        (lambda: nn.GRU(2, 2, 0), "num_layers must be an int"),
        (lambda: nn.RNN(2, 2, nonlinearity="sin"), 'one of "tanh", "relu"'),
        (lambda: nn.RNN(2, 2, 1, True), 'one of "tanh", "relu"; got True'),
        (lambda: nn.LSTM(2, 2, 1, "yes"), "bias must be True or False, got 'yes'"),
        (lambda: nn.LSTM(2, 2, dropout=1.5), "probability"),
        (lambda: nn.LSTM(2, 2, init="he_normal"), "LSTM: init must be a function"),
        (lambda: nn.RNNCell(2, 2, nonlinearity=None), 'one of "tanh", "relu"; got None'),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_states_of_an_lstm_are_a_pair():
    with pytest.raises(UsageError, match=r"LSTM\(3, 2\): initial states are a pair \(h, c\)"):
        nn.LSTM(3, 2)(np.zeros((4, 1, 3)), np.zeros((1, 1, 2)))
    with pytest.raises(ShapeError, match=r"initial states of shape \(1, 1, 2\), got \(1, 2\)"):
        nn.LSTM(3, 2)(np.zeros((4, 1, 3)), (np.zeros((1, 1, 2)), np.zeros((1, 2))))
    with pytest.raises(DTypeError, match="real numbers"):
        nn.GRUCell(3, 2)(np.zeros((1, 3)), np.array([["a", "b"]]))


@every_kind
def test_no_steps_are_refused(kind):
    with pytest.raises(
        ShapeError, match=r"needs at least one step, got inputs of shape \(0, 2, 3\)"
    ):
        kind(3, 2)(np.zeros((0, 2, 3)))


def test_derivatives_of_second_order_and_forward_mode():
    layer = nn.LSTM(2, 2, rng=0)
    x, v = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))

    def f(t):
        return mg.sum(layer(t)[0] ** 2)

    _, moved = mg.jvp(f, (x,), (v,))
    assert moved == pytest.approx(np.sum(mg.grad(f)(x) * v), rel=1e-12)
    np.testing.assert_allclose(
        mg.hvp(f, x, v).ravel(), mg.hessian(f)(x).reshape(6, 6) @ v.ravel(), rtol=1e-10
    )

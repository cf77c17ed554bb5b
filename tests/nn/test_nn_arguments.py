"""What layers and losses refuse whatever it is for: flags, words, whole numbers; and dtypes."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from microgradopt import Tensor, nn
from microgradopt.engine.graph import Primitive
from microgradopt.engine.rules import Fused
from microgradopt.errors import UsageError

SIZES = {  # what the classes with flags are made with
    "Linear": (2, 3), "Maxout": (2, 3), "MultiheadAttention": (4, 2),
    "TransformerEncoderLayer": (4, 2), "BatchNorm": (3,), "BatchNorm1d": (3,), "BatchNorm2d": (3,),
    "GroupNorm": (1, 2), "InstanceNorm1d": (2,), "InstanceNorm2d": (2,), "LayerNorm": (2,),
    "RMSNorm": (2,), "RNN": (2, 3), "LSTM": (2, 3), "GRU": (2, 3), "RNNCell": (2, 3),
    "LSTMCell": (2, 3), "GRUCell": (2, 3), "Conv1d": (2, 3, 3), "Conv2d": (2, 3, 3),
    "ConvTranspose1d": (2, 3, 3), "ConvTranspose2d": (2, 3, 3), "MaxPool1d": (2,),
    "MaxPool2d": (2,), "AvgPool1d": (2,), "AvgPool2d": (2,),
}  # fmt: skip


def flags():
    """Every option of an exported layer whose default is True or False."""
    for name in nn.__all__:
        thing = getattr(nn, name)
        if inspect.isclass(thing) and issubclass(thing, nn.Module) and thing is not nn.Module:
            for p in inspect.signature(thing).parameters.values():
                if isinstance(p.default, bool):
                    yield name, p.name


@pytest.mark.parametrize(("name", "option"), list(flags()))
def test_flags_are_true_or_false_and_nothing_that_counts_as_such(name, option):
    make = getattr(nn, name)
    for value in (True, False, np.True_):
        make(*SIZES[name], **{option: value})
    for value in (1, 0, "yes", None, [], np.ones(2)):
        with pytest.raises(UsageError, match=f"{option} must be True or False, got"):
            make(*SIZES[name], **{option: value})


@pytest.mark.parametrize("value", [[], {}, None, 1, "sin", np.zeros(2)])
def test_words_are_one_of_those_there_are(value):
    wanted = 'must be one of "'
    with pytest.raises(UsageError, match=f"Conv2d: padding_mode {wanted}zeros"):
        nn.Conv2d(2, 3, 3, padding_mode=value)
    with pytest.raises(UsageError, match=f"RNN: nonlinearity {wanted}tanh"):
        nn.RNN(2, 3, nonlinearity=value)
    with pytest.raises(UsageError, match=f"TransformerEncoderLayer: .* {wanted}relu"):
        nn.TransformerEncoderLayer(4, 2, activation=value)
    for loss in (nn.mse, nn.kl_div, nn.cross_entropy):
        with pytest.raises(UsageError, match=f"reduction {wanted}mean"):
            loss(np.ones((2, 2)), np.ones((2, 2)), reduction=value)


@pytest.mark.parametrize("value", ["a", 1.5, True, [0]])
@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.nll_loss])
def test_a_label_to_ignore_is_an_int(loss, value):
    with pytest.raises(UsageError, match="ignore_index must be an int, got"):
        loss(np.zeros((2, 3)), [0, 1], ignore_index=value)


def test_attention_takes_no_mask_for_a_flag():
    layer, x = nn.MultiheadAttention(4, 2, rng=0), np.zeros((3, 2, 4))
    for option in ("need_weights", "average_attn_weights", "is_causal"):
        with pytest.raises(UsageError, match=rf"MultiheadAttention\(4, 2\): {option} must be True"):
            layer(x, x, x, **{option: np.zeros((3, 3), bool)})
    with pytest.raises(UsageError, match="is_causal must be True or False"):
        nn.scaled_dot_product_attention(x, x, x, is_causal=1)


# Dtypes

SAMPLES = {
    row: list(row.sample(np.random.default_rng(0)))
    for row in Primitive.table.values()
    if isinstance(row, Fused) and row.sample
}
OF_SEVERAL = [row for row, found in SAMPLES.items() if len(found[0][0]) > 1]


@pytest.mark.parametrize("row", OF_SEVERAL, ids=lambda row: row.name)
def test_a_fused_row_has_the_dtype_of_what_it_stands_for(row):
    for operands, params in SAMPLES[row]:
        for dtypes in itertools.product((np.float32, np.float64), repeat=len(operands)):
            arrays = [x.astype(dtype) for x, dtype in zip(operands, dtypes)]
            one, other = ([Tensor(x) for x in arrays] for _ in range(2))
            fast, slow = row(*one, **params), row.composite(*other, **params)
            assert fast.dtype == slow.dtype
            np.testing.assert_allclose(fast.data, slow.data, rtol=1e-4, atol=1e-5)
            for y in (fast, slow):
                (y * y).sum().backward()
            for x, y in zip(one, other):
                assert x.grad.dtype == y.grad.dtype
                np.testing.assert_allclose(x.grad, y.grad, rtol=1e-3, atol=1e-4)

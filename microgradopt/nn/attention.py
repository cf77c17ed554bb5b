"""Attention: the function, the layer with several heads, positions, and a transformer's layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.engine.activations import gelu
from microgradopt.engine.composites import softmax
from microgradopt.engine.graph import Array, Node
from microgradopt.engine.ops.elementwise import relu, where
from microgradopt.engine.ops.products import matmul
from microgradopt.engine.ops.shapes import cut, index, reshape, swapaxes, transpose
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import mean
from microgradopt.engine.rules import data_of, shape_of as shape
from microgradopt.engine.tensor import Tensor
from microgradopt.errors import DTypeError, ShapeError, UsageError
from microgradopt.nn import init as initialisers
from microgradopt.nn.arguments import call_of, count, flag, one_of, operand
from microgradopt.nn.batches import as_batches, as_given
from microgradopt.nn.dropout import Dropout
from microgradopt.nn.init import Initialiser, normal
from microgradopt.nn.layers import Linear, linear
from microgradopt.nn.module import Module, Sample
from microgradopt.nn.normalization import LayerNorm
from microgradopt.nn.weights import started
from microgradopt.randomness import RandomSource, as_generator

# Masks say what is left out: truth values that are True there, or floats to add, −inf there.


def _mask(user: str, what: str, mask: Any, *sizes: tuple[int, ...]) -> Any:
    """A mask as an array or node of one of the shapes it may have."""
    if not isinstance(mask, Node):
        mask = np.asarray(mask)
    if data_of(mask).dtype.kind not in "bf":
        raise DTypeError(
            f"{user}: {what} holds truth values, or floats to add; got {data_of(mask).dtype}: "
            "write mask.astype(bool)"
        )
    if shape(mask) not in sizes:
        wanted = " or ".join(map(str, sizes))
        raise ShapeError(f"{user}: {what} must have shape {wanted}, got {shape(mask)}")
    return mask


def _later(queries: int, keys: int) -> Array:
    """Where a key comes after the query."""
    earlier: Array = np.tri(queries, keys, dtype=bool)
    return ~earlier


@quietly
def _weights(query: Any, key: Any, masks: list[Any], scale: float) -> Any:
    """softmax(query · keyᵀ · scale) along the keys; 0 where all of them are left out."""
    scores = matmul(query * scale, swapaxes(key, -1, -2))
    for mask in masks:
        if data_of(mask).dtype == bool:
            scores = where(mask, -np.inf, scores)
        else:
            dtype = data_of(scores).dtype
            scores = scores + (mask if isinstance(mask, Node) else mask.astype(dtype))
    if not masks or not shape(scores)[-1]:
        return softmax(scores) if shape(scores)[-1] else scores
    nothing = np.all(data_of(scores) == -np.inf, axis=-1, keepdims=True)
    if not nothing.any():
        return softmax(scores)
    return where(nothing, 0.0, softmax(where(nothing, 0.0, scores)))


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """softmax(query · keyᵀ · scale + mask) · value; as torch's function of this name.

    Args:
        query: shape (..., queries, features).
        key: shape (..., keys, features).
        value: shape (..., keys, values).
        attn_mask: broadcasts to (..., queries, keys): truth values that are True where a key takes
            part (the opposite of :class:`MultiheadAttention`, as in torch), or floats to add.
        is_causal: whether a query sees only the keys at its own place and before.
        scale: 1/√features when None.

    A query that sees no key at all gets zeros. Source: A. Vaswani et al., "Attention is all you
    need", 2017, eq. 1.

    >>> import numpy as np, microgradopt as mg
    >>> x = np.eye(3)
    >>> mg.nn.scaled_dot_product_attention(x, x, x, is_causal=True)[0]
    array([1., 0., 0.])
    """
    user = "scaled_dot_product_attention"
    query, key, value = (operand(user, x) for x in (query, key, value))
    full = _scores_shape(user, *map(shape, (query, key, value)))
    masks = [] if attn_mask is None else [_left_out(user, attn_mask, full)]
    if flag(user, "is_causal", is_causal):
        masks.append(_later(*full[-2:]))
    if scale is None:
        scale = shape(query)[-1] ** -0.5
    return matmul(_weights(query, key, masks, scale), value)


def _scores_shape(
    user: str, q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]
) -> tuple[int, ...]:
    """(..., queries, keys) of query, key and value of these shapes."""
    fits = min(map(len, (q, k, v))) >= 2 and q[-1] == k[-1] and k[-2] == v[-2] and q[-1]
    try:
        lead = np.broadcast_shapes(q[:-2], k[:-2], v[:-2])
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{user}: needs query (..., queries, features), key (..., keys, features) and value "
            f"(..., keys, values), got {q}, {k} and {v}"
        )
    return (*lead, q[-2], k[-2])


def _left_out(user: str, mask: Any, full: tuple[int, ...]) -> Any:
    """A mask that is True where a key takes part, turned around; one of floats as it is."""
    mask = mask if isinstance(mask, Node) else np.asarray(mask)
    have = shape(mask)
    if len(have) > len(full) or any(n not in (1, m) for n, m in zip(have[::-1], full[::-1])):
        raise ShapeError(f"{user}: attn_mask {have} does not broadcast to {full}")
    mask = _mask(user, "attn_mask", mask, have)
    return np.logical_not(data_of(mask)) if data_of(mask).dtype == bool else mask


def sinusoidal_positions(length: int, features: int, dtype: Any = np.float64) -> Array:
    """Waves that tell places apart, shape (length, features): to be added to inputs.

    Place p has sin(p / 10000^(2i / features)) at 2i and the cosine of the same at 2i + 1. Source:
    A. Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """
    length = count("sinusoidal_positions", "length", length)
    features = count("sinusoidal_positions", "features", features)
    rates = 10000.0 ** (-2.0 * np.arange((features + 1) // 2) / features)
    angles = np.arange(length)[:, None] * rates
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(length, -1)
    return waves[:, :features].astype(dtype)


def _dropout(p: float, rng: Any) -> Dropout | None:
    """None where nothing is dropped, so that there is no generator to save."""
    return Dropout(p, rng=rng) if p != 0.0 else None


def _dropped(layer: Dropout | None, x: Any) -> Any:
    return x if layer is None else layer(x)


class MultiheadAttention(Module):
    """Attention of several heads, each in a projection of its own; as torch's MultiheadAttention.

    Args:
        embed_dim: features of queries and results.
        num_heads: how many; they share the features equally.
        dropout: the probability with which a weight is dropped, in training.
        bias: whether the projections have one.
        kdim, vdim: features of keys and values; ``embed_dim`` when None.
        batch_first: whether inputs are (samples, places, features) and not (places, samples, …).
        init: the projections' initialiser. Left out, inputs' weights start as Xavier uniform and
            the output's like a Linear layer's; biases start at 0.
        rng: a generator or seed.
        dtype: float64 or float32.

    Parameters are ``in_proj_weight`` of shape (3·embed_dim, embed_dim), queries' rows first, then
    keys' and values' (``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight`` where features
    differ), ``in_proj_bias``, and those of ``out_proj``, a Linear layer.

    Source: A. Vaswani et al., "Attention is all you need", 2017, section 3.2.2.

    >>> import numpy as np, microgradopt as mg
    >>> attention = mg.nn.MultiheadAttention(8, 2, batch_first=True, rng=0)
    >>> x = np.zeros((4, 5, 8))
    >>> out, weights = attention(x, x, x)
    >>> out.shape, weights.shape
    ((4, 5, 8), (4, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        self.embed_dim = count(user, "embed_dim", embed_dim)
        self.num_heads = count(user, "num_heads", num_heads)
        if self.embed_dim % self.num_heads:
            raise UsageError(
                f"{user}: embed_dim must be a multiple of num_heads, got {embed_dim} and "
                f"{num_heads}"
            )
        self.kdim = self.embed_dim if kdim is None else count(user, "kdim", kdim)
        self.vdim = self.embed_dim if vdim is None else count(user, "vdim", vdim)
        self.batch_first = flag(user, "batch_first", batch_first)
        bias = flag(user, "bias", bias)
        rng = as_generator(rng)
        e = self.embed_dim
        sizes = {"in_proj_weight": (3 * e, e)}
        if not self.kdim == self.vdim == e:
            ins = {"q": e, "k": self.kdim, "v": self.vdim}
            sizes = {f"{name}_proj_weight": (e, n) for name, n in ins.items()}
        for name, size in sizes.items():
            start = init or initialisers.xavier_uniform
            setattr(self, name, started(user, name, size, start, rng, dtype))
        self.in_proj_bias: Tensor | None = None
        if bias:
            self.in_proj_bias = Tensor(np.zeros(3 * e, dtype), name="in_proj_bias")
        self.out_proj = Linear(e, e, bias, init=init, rng=rng, dtype=dtype)
        if self.out_proj.bias is not None:
            self.out_proj.bias.assign(np.zeros(e, dtype))
        self.dropout = _dropout(dropout, rng)
        self.name_parameters()

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        rng = np.random.default_rng(3)

        def draw(*size: int) -> Any:
            return normal(size, rng, dtype, std=1.0)

        q, k, v = draw(3, 2, 4), draw(5, 2, 4), draw(5, 2, 4)
        padding = np.array([[False] * 5, [False, True, False, True, True]])
        wide = cls(4, 2, kdim=3, vdim=2, bias=False, batch_first=True, rng=1, dtype=dtype)
        alone = cls(2, 1, rng=2, dtype=dtype)
        x = draw(3, 2)
        return [
            Sample(
                cls(4, 2, rng=0, dtype=dtype),
                (q, k, v, padding, False, _later(3, 5)),
                ((q[..., :3], k, v), (q, k, v[:4]), (q, k[:, :1], v[:, :1]), (q[0, 0], k, v)),
            ),
            Sample(cls(4, 2, rng=0, dtype=dtype), (q, k, v)),
            Sample(wide, (draw(2, 3, 4), draw(2, 4, 3), draw(2, 4, 2), None, True, None, False)),
            Sample(alone, (x, x[::-1] + 1.0, x * x, None, True, _later(3, 3), True, True)),
            Sample(cls(4, 4, 0.3, rng=3, dtype=dtype), (q, k, v, padding)),
        ]

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The result, and the weights, shape (samples, queries, keys), or None unless needed.

        Args:
            query: shape (queries, samples, embed_dim), or (queries, embed_dim) of one sample.
            key, value: the same with ``kdim`` and ``vdim`` features, for keys in place of queries.
            key_padding_mask: shape (samples, keys), see ``attn_mask``.
            need_weights: whether the weights are returned; averaged over heads, or each head's,
                shape (samples, heads, queries, keys), if not ``average_attn_weights``.
            attn_mask: shape (queries, keys) or (samples·heads, queries, keys): truth values, True
                where a query must not see a key, or floats to add to the scores.
            is_causal: whether no query sees a key at a later place; torch only takes it as a hint.

        Where a query may see nothing, weights and what they select are 0 (torch's layer gives NaN).
        """
        user = repr(self)
        need_weights = flag(user, "need_weights", need_weights)
        average = flag(user, "average_attn_weights", average_attn_weights)
        is_causal = flag(user, "is_causal", is_causal)
        alike = key is query and value is query
        dtype = self.out_proj.weight.dtype
        q, k, v = (operand(user, x, dtype) for x in (query, key, value))
        self._check(shape(q), shape(k), shape(v))
        alone = len(shape(q)) == 2
        swapped = not (alone or self.batch_first)
        if swapped:
            q, k, v = (swapaxes(x, 0, 1) for x in (q, k, v))
        q, k, v = as_batches(alone, q, k, v)
        sizes = shape(q)[0], shape(q)[1], shape(k)[1]
        masks = self._masks(attn_mask, key_padding_mask, is_causal, sizes, alone)
        out, weights = self._attended(self._projected(q, k, v, alike), masks)
        if need_weights and average:
            weights = mean(weights, axis=1)
        out, weights = as_given(alone, out, weights)
        return swapaxes(out, 0, 1) if swapped else out, weights if need_weights else None

    def _attended(self, projected: list[Any], masks: list[Any]) -> tuple[Any, Any]:
        """The result, shape (samples, queries, embed_dim), and the weights of every head."""
        q, k, v = map(self._in_heads, projected)
        weights = _weights(q, k, masks, (self.embed_dim // self.num_heads) ** -0.5)
        weights = _dropped(self.dropout, weights)
        joined = transpose(matmul(weights, v), (0, 2, 1, 3))
        return self.out_proj(reshape(joined, shape(projected[0]))), weights

    def _check(self, q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> None:
        features = (self.embed_dim, self.kdim, self.vdim)
        fits = len(q) == len(k) == len(v) in (2, 3) and k[:-1] == v[:-1]
        fits = fits and (q[-1], k[-1], v[-1]) == features
        sample_axis = 0 if self.batch_first else 1
        if not fits or (len(q) == 3 and q[sample_axis] != k[sample_axis]):
            layout = "samples, places" if self.batch_first else "places, samples"
            raise ShapeError(
                f"{self!r} takes query, key and value of shapes ({layout}, features) or (places, "
                f"features) with {features[0]}, {features[1]} and {features[2]} features, and as "
                f"many keys as values; got {q}, {k} and {v}"
            )

    def _masks(
        self, attn: Any, padding: Any, causal: bool, sizes: tuple[int, int, int], alone: bool
    ) -> list[Any]:
        """The masks given, each of a shape that broadcasts to (samples, heads, queries, keys)."""
        n, queries, keys = sizes
        user, heads, found = repr(self), self.num_heads, []
        if attn is not None:
            attn = _mask(user, "attn_mask", attn, (queries, keys), (n * heads, queries, keys))
            if len(shape(attn)) == 3:
                attn = reshape(attn, (n, heads, queries, keys))
            found.append(attn)
        if padding is not None:
            padding = _mask(user, "key_padding_mask", padding, (keys,) if alone else (n, keys))
            found.append(reshape(padding, (n, 1, 1, keys)))
        return [*found, _later(queries, keys)] if causal else found

    def _projected(self, q: Any, k: Any, v: Any, alike: bool) -> list[Any]:
        """Queries, keys and values, projected; what is the same three times, in one product."""
        e, bias = self.embed_dim, self.in_proj_bias
        whole: Any = getattr(self, "in_proj_weight", None)
        if whole is not None and alike:
            together = linear(q, whole, bias)
            return [cut(together, 2, i * e, (i + 1) * e) for i in range(3)]
        out = []
        for i, x in enumerate((q, k, v)):
            rows = slice(i * e, (i + 1) * e)
            own = getattr(self, f"{'qkv'[i]}_proj_weight") if whole is None else index(whole, rows)
            out.append(linear(x, own, None if bias is None else index(bias, rows)))
        return out

    def _in_heads(self, x: Any) -> Any:
        n, places, features = shape(x)
        split = reshape(x, (n, places, self.num_heads, features // self.num_heads))
        return transpose(split, (0, 2, 1, 3))

    def __repr__(self) -> str:
        return call_of(
            self,
            self.embed_dim,
            self.num_heads,
            dropout=(0.0 if self.dropout is None else self.dropout.p, 0.0),
            bias=(self.in_proj_bias is not None, True),
            kdim=(self.kdim, self.embed_dim),
            vdim=(self.vdim, self.embed_dim),
            batch_first=(self.batch_first, False),
        )


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "gelu": gelu}


class TransformerEncoderLayer(Module):
    """Self-attention, then two Linear layers; each added to its input, and normalised.

    Args:
        d_model, nhead: features and heads of the attention.
        dim_feedforward: units between the two Linear layers.
        dropout: the probability of being dropped, in training: of attention's weights, of units,
            and of what is added.
        activation: "relu" or "gelu", or a function.
        layer_norm_eps: see :class:`LayerNorm`.
        batch_first: whether inputs are (samples, places, d_model) and not (places, samples, …).
        norm_first: whether what is normalised is the input of each part, not the sum.
        bias: whether Linear layers, attention and norms have one.
        rng: a generator or seed.
        dtype: float64 or float32.

    Names, defaults and results are those of torch's layer of this name. Source: A. Vaswani et al.,
    "Attention is all you need", 2017; norm_first: R. Xiong et al., "On layer normalization in the
    transformer architecture", 2020.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        if not callable(activation):
            one_of(user, "an activation that is no function", activation, ACTIVATIONS)
        rng = as_generator(rng)
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, rng=rng, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, rng=rng, dtype=dtype)
        self.linear2 = Linear(dim_feedforward, d_model, bias, rng=rng, dtype=dtype)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout = _dropout(dropout, rng)
        self.activation = activation
        self.norm_first = flag(user, "norm_first", norm_first)
        self.name_parameters()

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((3, 2, 4), 4, dtype, std=1.0)
        plain = cls(4, 2, 3, 0.0, rng=0, dtype=dtype)
        other = cls(
            3, 3, 2, 0.0, "gelu", batch_first=True, norm_first=True, bias=False, rng=1, dtype=dtype
        )
        return [
            Sample(plain, (x,), ((x[..., :3],), (x[0, 0],))),
            Sample(other, (x[:2, :, 1:], _later(2, 2))),
            Sample(cls(4, 1, 2, rng=2, dtype=dtype), (x[:, 0],)),
        ]

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """The result, of the shape of ``src``; masks are those of :class:`MultiheadAttention`."""
        x = operand(repr(self), src, self.linear1.weight.dtype)

        def attended(y: Any) -> Any:
            out, _ = self.self_attn(y, y, y, src_key_padding_mask, False, src_mask, True, is_causal)
            return _dropped(self.dropout, out)

        if self.norm_first:
            x = x + attended(self.norm1(x))
            return x + self._fed_forward(self.norm2(x))
        x = self.norm1(x + attended(x))
        return self.norm2(x + self._fed_forward(x))

    def _fed_forward(self, x: Any) -> Any:
        bend = self.activation if callable(self.activation) else ACTIVATIONS[self.activation]
        inner = _dropped(self.dropout, bend(self.linear1(x)))
        return _dropped(self.dropout, self.linear2(inner))

    def __repr__(self) -> str:
        outs, ins = self.linear1.weight.shape
        return call_of(
            self,
            ins,
            self.self_attn.num_heads,
            outs,
            dropout=(0.0 if self.dropout is None else self.dropout.p, 0.1),
            activation=(self.activation, "relu"),
            layer_norm_eps=(self.norm1.eps, 1e-5),
            batch_first=(self.self_attn.batch_first, False),
            norm_first=(self.norm_first, False),
            bias=(self.linear1.bias is not None, True),
        )

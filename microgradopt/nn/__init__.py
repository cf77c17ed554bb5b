"""Layers, activations, initialisers and losses."""

from microgradopt.nn import init, scalar
from microgradopt.nn.activations import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
    Threshold,
)
from microgradopt.nn.attention import (
    MultiheadAttention,
    TransformerEncoderLayer,
    scaled_dot_product_attention,
    sinusoidal_positions,
)
from microgradopt.nn.classification import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    cross_entropy_from_probabilities,
    entropy,
    kl_div,
    nll_loss,
)
from microgradopt.nn.convolution import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    conv1d,
    conv2d,
)
from microgradopt.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d
from microgradopt.nn.embedding import Embedding
from microgradopt.nn.layers import MLP, Linear, Sequential
from microgradopt.nn.learned import Maxout, PReLU, RReLU, Swish
from microgradopt.nn.losses import (
    cosine_embedding_loss,
    half_squared_error,
    hinge,
    huber_loss,
    l1_loss,
    margin_ranking_loss,
    mse,
    poisson_nll_loss,
    smooth_l1_loss,
    triplet_margin_loss,
)
from microgradopt.nn.module import Module, Sample
from microgradopt.nn.normalization import (
    BatchNorm,
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)
from microgradopt.nn.penalties import l1_penalty, l2_penalty
from microgradopt.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
)
from microgradopt.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from microgradopt.nn.reshaping import Flatten, Unflatten
from microgradopt.nn.states import Buffer

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "GRU", "LSTM", "MLP", "RNN", "SELU", "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d", "AlphaDropout", "AvgPool1d", "AvgPool2d", "BatchNorm", "BatchNorm1d",
    "BatchNorm2d", "Buffer", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Dropout",
    "Dropout1d", "Dropout2d", "Embedding", "Flatten", "GRUCell", "GroupNorm", "Hardshrink",
    "Hardsigmoid", "Hardswish", "Hardtanh", "InstanceNorm1d", "InstanceNorm2d", "LSTMCell",
    "LayerNorm", "LeakyReLU", "Linear", "LogSigmoid", "LogSoftmax", "MaxPool1d", "MaxPool2d",
    "Maxout", "Mish", "Module", "MultiheadAttention", "PReLU", "RMSNorm", "RNNCell", "RReLU",
    "ReLU", "ReLU6", "Sample", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus",
    "Softshrink", "Softsign", "Swish", "Tanh", "Tanhshrink", "Threshold", "TransformerEncoderLayer",
    "Unflatten", "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv1d", "conv2d",
    "cosine_embedding_loss", "cross_entropy", "cross_entropy_from_probabilities", "entropy",
    "half_squared_error", "hinge", "huber_loss", "init", "kl_div", "l1_loss", "l1_penalty",
    "l2_penalty", "margin_ranking_loss", "mse", "nll_loss", "poisson_nll_loss", "scalar",
    "scaled_dot_product_attention", "sinusoidal_positions", "smooth_l1_loss", "triplet_margin_loss",
]  # fmt: skip

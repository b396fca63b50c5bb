"""Constructor settings of torch.nn leaves, from a per-class table.

`extra_repr()` leaves settings out for a dozen classes (MaxPool's return_indices, AvgPool's
count_include_pad, every loss), so each class has a row of its own. What a row says is checked: the module
is built again from it on the meta device and must come out the same.

A row lists constructor arguments. A plain name is the module's attribute of that name. Marks:
    name?       True when the parameter of that name is there (bias)
    name*       the constructor repeats one number into a tuple: equal numbers are said as one
    name~       a tuple of one number is said as the number
    name:LIT    the default, for classes whose signature is *args
    name=other  equals its default when it equals the attribute `other` (a pool's stride)
"""

import ast
import contextlib
import functools
import inspect

import torch
from torch import nn

_CONV = "in_channels out_channels kernel_size* stride* padding* {} bias? padding_mode"
_CONV_ROW = _CONV.format("dilation* groups")
_CONV_TRANSPOSE_ROW = "in_channels out_channels kernel_size* stride* padding* output_padding* groups bias? dilation* padding_mode"
_BATCH_NORM = "num_features eps momentum affine track_running_stats bias?"
_MAX_POOL = "kernel_size stride=kernel_size padding dilation return_indices ceil_mode"
_AVG_POOL = "kernel_size{0} stride{0}=kernel_size padding{0} ceil_mode count_include_pad"
_RNN = "input_size hidden_size num_layers:1 {}bias:True batch_first:False dropout:0.0 bidirectional:False{}"
_UNPOOL = "kernel_size* stride*=kernel_size padding*"

_ROWS = {
    "Linear": "in_features out_features bias?",
    "Bilinear": "in1_features in2_features out_features bias?",
    "Conv1d Conv2d Conv3d": _CONV_ROW,
    "ConvTranspose1d ConvTranspose2d ConvTranspose3d": _CONV_TRANSPOSE_ROW,
    "BatchNorm1d BatchNorm2d BatchNorm3d": _BATCH_NORM,
    "InstanceNorm1d InstanceNorm2d InstanceNorm3d": _BATCH_NORM,
    "LayerNorm": "normalized_shape~ eps elementwise_affine bias?",
    "RMSNorm": "normalized_shape~ eps elementwise_affine",
    "GroupNorm": "num_groups num_channels eps affine bias?",
    "LocalResponseNorm CrossMapLRN2d": "size alpha beta k",
    "Embedding": "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq sparse",
    "EmbeddingBag": "num_embeddings embedding_dim max_norm norm_type scale_grad_by_freq mode sparse "
    "include_last_offset padding_idx",
    "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout": "p inplace",
    "MaxPool1d MaxPool2d MaxPool3d": _MAX_POOL,
    "AvgPool1d": _AVG_POOL.format("*"),
    "AvgPool2d AvgPool3d": _AVG_POOL.format("") + " divisor_override",
    "LPPool1d LPPool2d LPPool3d": "norm_type kernel_size stride ceil_mode",
    "MaxUnpool1d MaxUnpool2d MaxUnpool3d": _UNPOOL,
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d": "output_size",
    "AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d": "output_size return_indices",
    "ReLU ReLU6 SELU SiLU Mish Hardsigmoid Hardswish": "inplace",
    "Sigmoid Tanh LogSigmoid Softsign Tanhshrink Softmax2d Identity": "",
    "GELU": "approximate",
    "LeakyReLU": "negative_slope inplace",
    "ELU CELU": "alpha inplace",
    "GLU Softmax LogSoftmax Softmin": "dim",
    "Hardtanh": "min_val max_val inplace",
    "Threshold": "threshold value inplace",
    "Softplus": "beta threshold",
    "Hardshrink Softshrink": "lambd",
    "RReLU": "lower upper inplace",
    "PReLU": "num_parameters init",
    "Flatten": "start_dim end_dim",
    "Unflatten": "dim unflattened_size",
    "ZeroPad1d ZeroPad2d ZeroPad3d CircularPad1d CircularPad2d CircularPad3d": "padding*",
    "ReflectionPad1d ReflectionPad2d ReflectionPad3d": "padding*",
    "ReplicationPad1d ReplicationPad2d ReplicationPad3d": "padding*",
    "ConstantPad1d ConstantPad2d ConstantPad3d": "padding* value",
    "Upsample": "size scale_factor mode align_corners recompute_scale_factor",
    "UpsamplingNearest2d UpsamplingBilinear2d": "size scale_factor",
    "PixelShuffle": "upscale_factor",
    "PixelUnshuffle": "downscale_factor",
    "ChannelShuffle": "groups",
    "Fold": "output_size kernel_size dilation padding stride",
    "Unfold": "kernel_size dilation padding stride",
    "LSTM": _RNN.format("", " proj_size:0"),
    "GRU": _RNN.format("", ""),
    "RNN": _RNN.format("nonlinearity:'tanh' ", ""),
    "LSTMCell GRUCell": "input_size hidden_size bias",
    "RNNCell": "input_size hidden_size bias nonlinearity",
    "MultiheadAttention": "embed_dim num_heads dropout bias add_bias_kv add_zero_attn kdim=embed_dim vdim=embed_dim "
    "batch_first",
    "CosineSimilarity": "dim eps",
    "PairwiseDistance": "p=norm eps keepdim",
    "L1Loss MSELoss MultiLabelMarginLoss SoftMarginLoss": "reduction",
    "BCELoss MultiLabelSoftMarginLoss": "weight reduction",
    "BCEWithLogitsLoss": "weight reduction pos_weight",
    "CrossEntropyLoss": "weight ignore_index reduction label_smoothing",
    "NLLLoss": "weight ignore_index reduction",
    "KLDivLoss": "reduction log_target",
    "SmoothL1Loss": "reduction beta",
    "HuberLoss": "reduction delta",
    "HingeEmbeddingLoss MarginRankingLoss CosineEmbeddingLoss": "margin reduction",
    "TripletMarginLoss": "margin p eps swap reduction",
    "MultiMarginLoss": "p margin weight reduction",
    "PoissonNLLLoss": "log_input full eps reduction",
    "GaussianNLLLoss": "full eps reduction",
    "CTCLoss": "blank reduction zero_infinity",
}
_BY_CLASS = {getattr(nn, name): row for names, row in _ROWS.items() for name in names.split()}

# Where an argument is neither an attribute nor a parameter of its own name.
_SPECIAL = {
    (nn.PReLU, "num_parameters"): lambda m: m.weight.numel(),
    (nn.MultiheadAttention, "bias"): lambda m: m.in_proj_bias is not None,
    (nn.MultiheadAttention, "add_bias_kv"): lambda m: m.bias_k is not None,
    (nn.PairwiseDistance, "p"): lambda m: m.norm,
}


class _Unknown(Exception):
    """The row does not say how this module was made."""


def _plain(value):
    if isinstance(value, (tuple, list)):  # torch.Size is a tuple too
        return (list if isinstance(value, list) else tuple)(_plain(item) for item in value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise _Unknown


def _literal(value):
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    return repr(value)


def _shortened(value, marks):
    if not isinstance(value, tuple) or not value or not marks:
        return value
    one = len(value) == 1 if marks == "~" else all(item == value[0] for item in value)
    return value[0] if one else value


def _parse(entry):
    """name, mark, default literal, equal-to attribute"""
    name, _, other = entry.partition("=")
    name, _, default = name.partition(":")
    marks = name[len(name.rstrip("?*~")) :]
    return name.rstrip("?*~"), marks, default, other


def _value(module, name, marks):
    special = _SPECIAL.get((type(module), name))
    if special:
        return special(module)
    if marks == "?":
        # Without an affine transform there is no bias to be asked about.
        affine = getattr(module, "affine", getattr(module, "elementwise_affine", True))
        return getattr(module, name) is not None if affine else True
    if name not in module.__dict__ and name not in module._buffers:
        raise _Unknown
    return _shortened(_plain(getattr(module, name)), marks)


def _read(module, row):
    signature = inspect.signature(type(module).__init__).parameters
    starred = "args" in signature
    rows = []
    for entry in row.split():
        name, marks, default, other = _parse(entry)
        if not starred and name not in signature:
            continue  # an argument that this version of torch does not have yet
        value = _value(module, name, marks)
        if starred:
            is_default = bool(default) and value == ast.literal_eval(default)
        else:
            is_default = value == signature[name].default and type(value) is type(signature[name].default)
            if other and signature[name].default is None:
                is_default = value == _value(module, other, marks)
        rows.append((name, value, is_default))
    return rows


def _state(module):
    """What two modules made alike have in common."""
    plain = {k: repr(tuple(v) if isinstance(v, torch.Size) else v) for k, v in module.__dict__.items() if not k.startswith("_") and k != "training"}
    tensors = {**module._parameters, **module._buffers}
    shapes = {k: None if v is None else tuple(v.shape) for k, v in tensors.items()}
    return plain, shapes, sorted(module._non_persistent_buffers_set)


@contextlib.contextmanager
def _no_initial_values():
    """nn.init does nothing: on the meta device some of it would import torch's compiler, for seconds."""
    saved = {name: f for name, f in vars(nn.init).items() if name.endswith("_") and callable(f)}
    try:
        for name in saved:
            setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
        yield
    finally:
        for name, function in saved.items():
            setattr(nn.init, name, function)


@functools.lru_cache(maxsize=4096)
def _rebuilt_state(cls, arguments):
    with _no_initial_values(), torch.device("meta"):
        return _state(cls(**{name: ast.literal_eval(text) for name, text in arguments}))


def of(module):
    """[(name, Python literal, is_default)] in signature order, or None where the table cannot tell."""
    row = _BY_CLASS.get(type(module))
    if row is None:
        return None
    try:
        rows = _read(module, row)
        arguments = tuple((n, _literal(v)) for n, v, is_default in rows if not (is_default and "(" in _literal(v)))
        if _rebuilt_state(type(module), arguments) != _state(module):
            return None
    except (_Unknown, AttributeError, TypeError, ValueError):
        return None
    return [(name, _literal(value), is_default) for name, value, is_default in rows]

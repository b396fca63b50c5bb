#pragma once
// What plan/ knows about operators by name: which are heavy, which are pools, activations, norms. Names are
// those of program::OperatorName: no namespace, no overload, no underscore of an in-place form.

#include <string>
#include <string_view>

#include "worker/engine/program/program.h"

namespace strata::plan {

// Convolution, linear, matrix product, attention operator, recurrent module: a fusion has at most one.
bool IsContraction(std::string_view op);
bool IsConvolution(std::string_view op);
bool IsLinear(std::string_view op);       // linear, addmm: a projection when it holds its weight
bool IsMatmul(std::string_view op);       // matmul, bmm, einsum, ...: two operands that may both be results
bool IsAttentionOp(std::string_view op);  // scaled_dot_product_attention
bool IsRecurrent(std::string_view op);    // lstm, gru, rnn_tanh, ... and their cells
bool IsPool(std::string_view op);
bool IsDropout(std::string_view op);
bool IsActivation(std::string_view op);
bool IsNormalisation(std::string_view op);
bool IsSoftmax(std::string_view op);
bool IsComparison(std::string_view op);  // eq, lt, ..., logical_not, bitwise_and, isinf
bool IsReduction(std::string_view op);
// Every element of the result depends on the elements at its place alone; arithmetic included.
bool IsElementwise(std::string_view op);
// Makes a tensor from numbers alone: arange, zeros, full, ...
bool IsFactory(std::string_view op);

// "relu" of an aten::relu_ call; aliases under one name, "mul" of aten::multiply.
std::string NameOf(const program::Call& call);

// What people call it: relu6 is hardtanh between 0 and 6.
std::string TitleOf(const program::Program& program, const program::Call& call);

// The argument with that schema name, or nullptr.
const program::Argument* FindArgument(const program::Call& call, std::string_view name);
// Its number: an int, a double, a bool or a wrapped-number tensor with data. False if it is none.
bool NumberOf(const program::Program& program, const program::Argument* argument, double* number);

}  // namespace strata::plan

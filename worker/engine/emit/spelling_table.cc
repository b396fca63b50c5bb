#include "worker/engine/emit/spelling_table.h"

#include <map>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {
namespace {

using Table = std::map<std::string, SpellingRow>;

// NAME positional-count, "*" after the name: the first list is spread.
constexpr char kMethods[] = R"(
view* 0 reshape* 0 permute* 0 expand* 0 repeat* 0 flip* 0 tile* 0 transpose 2 swapaxes 2 swapdims 2 movedim 2
moveaxis 2 flatten 2 unflatten 2 squeeze 1 unsqueeze 1 split 1 split_with_sizes 1 chunk 1 tensor_split 1 unbind 1
narrow 3 contiguous 0 clone 0 detach 0 expand_as 0 view_as 0 reshape_as 0 type_as 0 t 0 broadcast_to 1 unfold 3
repeat_interleave 1 roll 1 masked_fill 1 mean 1 sum 1 prod 1 amax 1 amin 1 max 1 min 1 argmax 1 argmin 1 any 1 all 1
std 1 var 1 pow 1 abs 0 square 0 sqrt 0 exp 0 log 0 floor 0 ceil 0 round 0 sign 0 clamp 0 clamp_min 1 clamp_max 1
cumsum 1 cumprod 1 gather 1 scatter 1 scatter_add 1 index_select 1 index_add 1 topk 1 sort 0 argsort 0 diagonal 0
fill 1 logical_not 0 masked_select 0 logsumexp 1 median 1 type_as 0 sum_to_size* 0 conj 0 isnan 0
new_zeros 0 new_ones 0 new_full 1 bernoulli 0 nonzero 0 item 0 numpy_T 0 fmod 0 cross 0 dot 0 softsign 0
index_copy 1 index_fill 2 masked_scatter 0 take_along_dim 0 rsqrt 0 reciprocal 0
)";

constexpr char kFunctionals[] = R"(
relu 0 relu6 0 gelu 0 silu 0 mish 0 elu 0 selu 0 celu 0 hardtanh 0 hardswish 0 hardsigmoid 0 leaky_relu 1 softplus 0
log_sigmoid 0 softmax 0 log_softmax 0 linear 0 conv1d 0 conv2d 0 conv3d 0 conv_transpose1d 0
conv_transpose2d 0 conv_transpose3d 0 bilinear 0 layer_norm 1 group_norm 1 max_pool1d 1 max_pool2d 1
max_pool3d 1 avg_pool1d 1 avg_pool2d 1 avg_pool3d 1 adaptive_avg_pool1d 1 adaptive_avg_pool2d 1 adaptive_avg_pool3d 1
adaptive_max_pool1d 1 adaptive_max_pool2d 1 adaptive_max_pool3d 1 scaled_dot_product_attention 0 one_hot 1
cosine_similarity 0 pairwise_distance 0 pixel_shuffle 1 pixel_unshuffle 1 rms_norm 1 glu 0 prelu 0 hardshrink 0
softshrink 0 threshold 2 mse_loss 0 l1_loss 0 smooth_l1_loss 0 huber_loss 0 binary_cross_entropy 0
binary_cross_entropy_with_logits 0 kl_div 0 hinge_embedding_loss 0 triplet_margin_loss 0 cosine_embedding_loss 0
margin_ranking_loss 0 soft_margin_loss 0 cross_entropy_loss 0 nll_loss 0 nll_loss_nd 0 poisson_nll_loss 0 channel_shuffle 1 pad 1
)";

// torch.NAME is generated from the schema: same order, same keywords.
constexpr char kTorch[] = R"(
acos acosh addbmm addcdiv addcmul addmm addmv addr aminmax angle arccos arcsin arctan argwhere as_strided asin asinh
atan atan2 atanh baddbmm batch_norm bincount bitwise_left_shift bitwise_right_shift bmm bucketize cat celu cholesky
column_stack complex concat constant_pad_nd conj_physical convolution copysign cos cosh count_nonzero
cumulative_trapezoid cummax cummin deg2rad det diag diag_embed diagflat diff digamma dist dstack embedding_bag erf
erfc erfinv exp2 expm1 fliplr flipud float_power fmax fmin frac frobenius_norm gcd ger grid_sampler gru hstack hypot i0
imag index_put index_reduce inner instance_norm inverse isclose isfinite isin isinf kron kthvalue lerp lgamma log10
log1p log2 logaddexp logaddexp2 logcumsumexp logdet logical_and logical_or logical_xor logit lstm matrix_exp
matrix_power max_pool1d_with_indices maximum meshgrid minimum mm mode msort multinomial mv nan_to_num nanmean nansum
native_dropout native_group_norm native_layer_norm nextafter outer pdist pinverse polar quantile rad2deg ravel real
renorm rnn_relu rnn_tanh rot90 searchsorted select_scatter sgn sigmoid signbit sin sinc sinh slice_scatter slogdet
stack std_mean svd take tan tanh trace trapezoid trapz tril triu tril_indices triu_indices trunc vander var_mean vdot
view_as_complex view_as_real vstack where xlogy rand_like randn_like randint_like randperm bernoulli poisson
)";

void Add(Table& table, const char* names, Style style, const std::string& prefix) {
  std::istringstream in(names);
  std::string name;
  int positional = 0;
  while (in >> name >> positional) {
    SpellingRow row{style, prefix, name, 0, positional, false};
    if (name.back() == '*') {
      row.name.pop_back();
      row.varargs = true;
    }
    const std::string key = row.name;
    table[key] = row;
  }
}

void AddInfix(Table& table) {
  const struct {
    const char* op;
    const char* sign;
    int precedence;
  } rows[] = {{"add", "+", kSum},
              {"sub", "-", kSum},
              {"mul", "*", kProduct},
              {"div", "/", kProduct},
              {"matmul", "@", kProduct},
              {"remainder", "%", kProduct},
              {"floor_divide", "//", kProduct},
              {"eq", "==", kCompare},
              {"ne", "!=", kCompare},
              {"lt", "<", kCompare},
              {"le", "<=", kCompare},
              {"gt", ">", kCompare},
              {"ge", ">=", kCompare},
              {"bitwise_and", "&", kBitAnd},
              {"bitwise_or", "|", kBitOr},
              {"bitwise_xor", "^", kBitXor}};
  for (const auto& row : rows) table[row.op] = {Style::kInfix, "", row.sign, row.precedence, 0, false};
  table["neg"] = {Style::kUnaryPrefix, "", "-", kUnary, 0, false};
  table["bitwise_not"] = {Style::kUnaryPrefix, "", "~", kUnary, 0, false};
}

Table MakeTable() {
  Table table;
  std::istringstream in(kTorch);
  for (std::string name; in >> name;) table[name] = {Style::kFunction, "torch", name, 0, 0, false};
  Add(table, kMethods, Style::kMethod, "");
  Add(table, kFunctionals, Style::kFunction, "F");
  for (const char* name : {"rsqrt", "exp", "log", "sqrt", "abs", "floor", "ceil", "round", "sign"}) {
    table[name] = {Style::kFunction, "torch", name, 0, 0, false};
  }
  AddInfix(table);
  table["log_sigmoid"].name = "logsigmoid";
  table["cross_entropy_loss"].name = "cross_entropy";
  table["nll_loss_nd"].name = "nll_loss";
  table["split_with_sizes"].name = "split";
  table["numpy_T"].name = "T";
  return table;
}

}  // namespace

const SpellingRow* FindSpelling(const std::string& operator_name) {
  static auto* table = new Table(MakeTable());
  const auto found = table->find(operator_name);
  if (found != table->end()) return &found->second;
  // torch.linalg and its brothers are generated from the schema too.
  for (const char* space : {"linalg", "fft", "special"}) {
    const std::string head = std::string(space) + "_";
    if (!absl::StartsWith(operator_name, head)) continue;
    SpellingRow row{
        Style::kFunction, "torch." + std::string(space), operator_name.substr(head.size()), 0, 0, false};
    return &table->emplace(operator_name, row).first->second;
  }
  return nullptr;
}

}  // namespace strata::emit

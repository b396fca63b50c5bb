#include "tests/engine/plan/net.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"

namespace strata::plan {

using namespace program;  // T, I, F ... read as in the model

ValueId Net::Linear(const std::string& path, ValueId x, int64_t out, bool bias) {
  b.Module(path, "Linear");
  std::vector<int64_t> shape = sizes(x);
  const auto weight = b.Parameter(path + ".weight", {out, shape.back()});
  std::vector<NamedArgument> args = {T("input", x), T("weight", weight)};
  args.push_back(bias ? T("bias", b.Parameter(path + ".bias", {out})) : None("bias"));
  shape.back() = out;
  b.Enter(path, {x});
  const auto y = b.Op("aten::linear", args, shape);
  b.Leave({y});
  return y;
}

ValueId Net::Conv(const std::string& path, ValueId x, int64_t out, int64_t kernel, int64_t stride,
                  int64_t padding, bool bias) {
  b.Module(path, "Conv2d");
  std::vector<int64_t> shape = sizes(x);
  const auto weight = b.Parameter(path + ".weight", {out, shape[1], kernel, kernel});
  std::vector<NamedArgument> args = {T("input", x), T("weight", weight)};
  args.push_back(bias ? T("bias", b.Parameter(path + ".bias", {out})) : None("bias"));
  args.push_back(Is("stride", {stride, stride}));
  args.push_back(Is("padding", {padding, padding}));
  args.push_back(Is("dilation", {1, 1}));
  args.push_back(I("groups", 1));
  const auto extent = [&](int64_t size) { return (size + 2 * padding - kernel) / stride + 1; };
  b.Enter(path, {x});
  const auto y = b.Op("aten::conv2d", args, {shape[0], out, extent(shape[2]), extent(shape[3])});
  b.Leave({y});
  return y;
}

ValueId Net::BatchNorm(const std::string& path, ValueId x) {
  b.Module(path, "BatchNorm2d");
  const int64_t features = sizes(x)[1];
  const auto weight = b.Parameter(path + ".weight", {features}),
             bias = b.Parameter(path + ".bias", {features});
  const auto mean = b.Buffer(path + ".running_mean", {features}),
             var = b.Buffer(path + ".running_var", {features});
  b.Enter(path, {x});
  const auto y = b.Op(
      "aten::batch_norm",
      {T("input", x), T("weight", weight), T("bias", bias), T("running_mean", mean), T("running_var", var),
       B("training", false), F("momentum", 0.1), F("eps", 1e-5), B("cudnn_enabled", true)},
      sizes(x));
  b.Leave({y});
  return y;
}

ValueId Net::LayerNorm(const std::string& path, ValueId x) {
  b.Module(path, "LayerNorm");
  const int64_t dim = sizes(x).back();
  const auto weight = b.Parameter(path + ".weight", {dim}), bias = b.Parameter(path + ".bias", {dim});
  b.Enter(path, {x});
  const auto y = b.Op("aten::layer_norm",
                      {T("input", x), Is("normalized_shape", {dim}), T("weight", weight), T("bias", bias),
                       F("eps", 1e-5), B("cudnn_enable", true)},
                      sizes(x));
  b.Leave({y});
  return y;
}

ValueId Net::Embedding(const std::string& path, ValueId tokens, int64_t count, int64_t dim) {
  b.Module(path, "Embedding");
  std::vector<int64_t> shape = sizes(tokens);
  shape.push_back(dim);
  const auto weight = b.Parameter(path + ".weight", {count, dim});
  b.Enter(path, {tokens});
  const auto y = b.Op("aten::embedding",
                      {T("weight", weight), T("indices", tokens), Default(I("padding_idx", -1)),
                       Default(B("scale_grad_by_freq", false)), Default(B("sparse", false))},
                      shape);
  b.Leave({y});
  return y;
}

ValueId Net::ReluModule(const std::string& path, ValueId x, bool in_place) {
  b.Module(path, "ReLU");
  b.Enter(path, {x});
  const auto y = b.Op(in_place ? "aten::relu_" : "aten::relu", {T("self", x)}, sizes(x));
  b.Leave({y});
  return y;
}

ValueId Net::GeluModule(const std::string& path, ValueId x) {
  b.Module(path, "GELU");
  b.Enter(path, {x});
  const auto y =
      b.Op("aten::gelu", {T("self", x), Default(KwargOnly(program::None("approximate", "str")))}, sizes(x));
  b.Leave({y});
  return y;
}

ValueId Net::Dropout(const std::string& path, ValueId x, double p) {
  b.Module(path, "Dropout");
  b.Enter(path, {x});
  const auto y = b.View("aten::dropout", {T("input", x), F("p", p), B("train", false)}, sizes(x));
  b.Leave({y});
  return y;
}

ValueId Net::MaxPool(const std::string& path, ValueId x) {
  b.Module(path, "MaxPool2d");
  std::vector<int64_t> shape = sizes(x);
  shape[2] /= 2;
  shape[3] /= 2;
  b.Enter(path, {x});
  const auto y =
      b.Op("aten::max_pool2d",
           {T("self", x), Is("kernel_size", {2, 2}), Is("stride", {2, 2}), Default(Is("padding", {0, 0})),
            Default(Is("dilation", {1, 1})), Default(B("ceil_mode", false))},
           shape);
  b.Leave({y});
  return y;
}

void Net::Enter(const std::string& path, const std::string& class_name, const std::vector<ValueId>& args) {
  b.Module(path, class_name, {}, /*is_torch_nn=*/false);
  b.Enter(path, args);
}

ValueId Net::Relu(ValueId x) { return Unary("relu", x); }
ValueId Net::Softmax(ValueId x) {
  return b.Op("aten::softmax.int",
              {T("self", x), I("dim", -1), Default(program::None("dtype", "ScalarType?"))}, sizes(x));
}
ValueId Net::Add(ValueId x, ValueId y) {
  return b.Op("aten::add.Tensor", {T("self", x), T("other", y), Default(N("alpha", 1))}, sizes(x));
}
ValueId Net::Mul(ValueId x, ValueId y) {
  return b.Op("aten::mul.Tensor", {T("self", x), T("other", y)}, sizes(x));
}
ValueId Net::Scale(ValueId x, double factor) {
  return b.Op("aten::mul.Tensor", {T("self", x), N("other", factor)}, sizes(x));
}
ValueId Net::Plus(ValueId x, double number) {
  return b.Op("aten::add.Tensor", {T("self", x), N("other", number), Default(N("alpha", 1))}, sizes(x));
}
ValueId Net::Unary(const std::string& op, ValueId x) { return b.Op("aten::" + op, {T("self", x)}, sizes(x)); }

ValueId Net::Matmul(ValueId x, ValueId y) {
  std::vector<int64_t> shape = sizes(x);
  shape.back() = sizes(y).back();
  return b.Op("aten::matmul", {T("self", x), T("other", y)}, shape);
}

ValueId Net::View(ValueId x, const std::vector<int64_t>& shape) {
  return b.View("aten::view", {T("self", x), Is("size", shape)}, shape);
}

ValueId Net::Transpose(ValueId x, int64_t a, int64_t c) {
  std::vector<int64_t> shape = sizes(x);
  std::swap(shape[static_cast<size_t>(a)], shape[static_cast<size_t>(c)]);
  return b.View("aten::transpose.int", {T("self", x), I("dim0", a), I("dim1", c)}, shape);
}

ValueId Net::RmsNorm(const std::string& path, ValueId x, double eps) {
  std::vector<int64_t> reduced = sizes(x);
  reduced.back() = 1;
  Enter(path, "RMSNorm", {x});
  const auto weight = b.Parameter(path + ".weight", {sizes(x).back()});
  const auto square = b.Op("aten::pow.Tensor_Scalar", {T("self", x), N("exponent", 2)}, sizes(x));
  const auto mean = b.Op("aten::mean.dim", {T("self", square), Is("dim", {-1}), B("keepdim", true)}, reduced);
  const auto root = Unary("rsqrt", Plus(mean, eps));
  const auto y = Mul(Mul(x, root), weight);
  b.Leave({y});
  return y;
}

ValueId Net::Attention(const std::string& path, ValueId x, int64_t heads, bool masked) {
  const std::vector<int64_t> shape = sizes(x);
  const int64_t batch = shape[0], length = shape[1], dim = shape[2];
  Enter(path, "Attention", {x});
  ValueId qkv[3];
  const char* names[] = {".q_proj", ".k_proj", ".v_proj"};
  for (int i = 0; i < 3; ++i) {
    qkv[i] = View(Linear(path + names[i], x, dim, false), {batch, length, heads, dim / heads});
    qkv[i] = Transpose(qkv[i], 1, 2);
  }
  const auto keys = Transpose(qkv[1], 2, 3);
  b.Targets({"scores"});
  auto scores = Matmul(qkv[0], keys);
  scores = Scale(scores, 0.125);
  if (masked) {
    const auto mask = b.Buffer(path + ".mask", {length, length}, DType::kFloat32,
                               std::vector<uint8_t>(static_cast<size_t>(4 * length * length), 1));
    const auto blocked =
        b.Op("aten::eq.Scalar", {T("self", mask), N("other", 0)}, {length, length}, DType::kBool);
    scores =
        b.Op("aten::masked_fill.Scalar",
             {T("self", scores), T("mask", blocked), N("value", -std::numeric_limits<double>::infinity())},
             sizes(scores));
  }
  const auto weights = Softmax(scores);
  b.Targets({"out"});
  const auto out = Matmul(weights, qkv[2]);
  const auto y = Linear(path + ".out_proj", View(Transpose(out, 1, 2), shape), dim, false);
  b.Leave({y});
  return y;
}

namespace {

void OutlineNode(const Plan& plan, NodeId id, size_t depth, std::set<ComponentId>* shown, std::string* out) {
  const Node& node = plan.nodes[static_cast<size_t>(id)];
  const Component& component = plan.components[static_cast<size_t>(node.component)];
  absl::StrAppend(out, std::string(2 * depth, ' '), node.attribute.empty() ? "" : node.attribute + ": ",
                  component.stem, " <", LevelName(node.level), ">\n");
  if (!shown->insert(component.id).second) return;
  for (const Item& item : node.body) {
    if (item.is_child) OutlineNode(plan, item.index, depth + 1, shown, out);
  }
}

}  // namespace

std::string Outline(const Plan& plan) {
  std::string out = "\n";
  std::set<ComponentId> shown;
  OutlineNode(plan, 0, 0, &shown, &out);
  return out;
}

Plan PlanOf(Program program) {
  absl::StatusOr<Plan> plan = MakePlan(std::move(program));
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan{};
}

const Component& ComponentNamed(const Plan& plan, const std::string& stem) {
  for (const Component& component : plan.components) {
    if (component.stem == stem) return component;
  }
  ADD_FAILURE() << "no component " << stem << " in" << Outline(plan);
  return plan.components.at(0);
}

}  // namespace strata::plan

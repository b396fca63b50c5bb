#include "worker/engine/emit/constants.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/forward_writer.h"
#include "worker/engine/emit/spelling.h"

namespace strata::emit {
namespace {

using program::Argument;
using program::Call;
using program::DType;
using program::kNoId;
using program::Program;
using program::Value;
using program::ValueId;

constexpr size_t kPackAboveBytes = 4096;
constexpr size_t kListedItems = 64;
constexpr size_t kLongestFormula = 40;  // calls; longer ones are said by their value

// ---- the source's own formula -------------------------------------------------------------------------

// The calls of init_calls that made `id`, those included that wrote into its memory; empty where they are too
// many or one of them reads what cannot be written.
std::set<program::CallId> FormulaOf(const Program& program, ValueId id) {
  const std::vector<program::CallId> slice = program::InitSlice(program, id);
  if (slice.size() > kLongestFormula) return {};
  for (const program::CallId c : slice) {
    const Call& call = program.init_calls.at(static_cast<size_t>(c));
    if ((call.marks & program::kRandom) != 0) return {};
    for (const ValueId read : program::Reads(call)) {
      const Value& value = program.value(read);
      if (!value.is_wrapped_number && value.init_producer == kNoId) return {};
    }
  }
  return {slice.begin(), slice.end()};
}

// The init calls as a program of their own, so that the forward writer can say them.
bool SpellFormulas(const Program& program, const std::vector<ValueId>& values,
                   const std::set<program::CallId>& calls, Lines* setup,
                   std::vector<std::string>* expressions) {
  Program built;
  built.values = program.values;
  built.calls = program.init_calls;
  std::map<ValueId, ValueId> made_as;  // buffer -> the result it is
  for (size_t i = 0; i < built.calls.size(); ++i) {
    for (size_t k = 0; k < built.calls[i].results.size(); ++k) {
      const ValueId result = built.calls[i].results[k];
      if (result != kNoId)
        built.values[static_cast<size_t>(result)].producer = static_cast<program::CallId>(i);
    }
  }
  for (const ValueId id : values) {
    const Value& value = program.value(id);
    const Call& call = built.calls.at(static_cast<size_t>(value.init_producer));
    const auto k = static_cast<size_t>(value.init_result_index);
    if (k >= call.results.size() || call.results[k] == kNoId) return false;
    made_as[id] = call.results[k];
  }
  // Formulas may read other buffers; those are results of init calls too.
  for (const program::CallId c : calls) {
    for (program::NamedArgument& argument : built.calls[static_cast<size_t>(c)].args) {
      const auto replace = [&](Argument& a) {
        if (a.kind != Argument::Kind::kValue) return;
        const Value& value = program.value(a.value);
        if (value.kind == program::ValueKind::kResult || value.init_producer == kNoId) return;
        const Call& maker = program.init_calls[static_cast<size_t>(value.init_producer)];
        a.value = maker.results[static_cast<size_t>(value.init_result_index)];
      };
      replace(argument.value);
      for (Argument& item : argument.value.items) replace(item);
    }
  }
  Function function;
  for (const program::CallId c : calls) {
    Step step;
    step.call = c;
    function.steps.push_back(step);
  }
  for (const ValueId id : values) function.returns.push_back(made_as.at(id));
  ForwardOptions options;
  options.shape_comments = false;
  const absl::StatusOr<ForwardBody> body = WriteBody(built, function, options);
  if (!body.ok()) return false;
  *setup = body->lines;
  *expressions = body->results;
  return true;
}

// ---- the value itself ---------------------------------------------------------------------------------

class Literal {
 public:
  explicit Literal(const Value& value) : value_(value), count_(1) {
    for (const int64_t size : value.type.sizes) count_ *= static_cast<size_t>(size);
  }

  std::string Text(bool* packed) const {
    if (value_.data.size() != count_ * static_cast<size_t>(program::ElementSizeBytes(value_.type.dtype)))
      return "";
    if (std::string text = Recognised(); !text.empty()) return text;
    if (count_ <= kListedItems && Readable()) return Listed();
    *packed = value_.data.size() > kPackAboveBytes || !Readable() || count_ > kListedItems;
    return Packed();
  }

 private:
  bool Readable() const {
    switch (value_.type.dtype) {
      case DType::kFloat64:
      case DType::kFloat32:
      case DType::kInt64:
      case DType::kInt32:
      case DType::kInt16:
      case DType::kInt8:
      case DType::kUInt8:
      case DType::kBool:
        return true;
      default:
        return false;
    }
  }

  size_t ItemBytes() const { return static_cast<size_t>(program::ElementSizeBytes(value_.type.dtype)); }
  const uint8_t* Raw(size_t i) const { return value_.data.data() + i * ItemBytes(); }

  double At(size_t i) const {
    const uint8_t* at = Raw(i);
    const auto read = [&]<typename T>(T out) {
      std::memcpy(&out, at, sizeof out);
      return static_cast<double>(out);
    };
    switch (value_.type.dtype) {
      case DType::kFloat64:
        return read(double{});
      case DType::kFloat32:
        return read(float{});
      case DType::kInt64:
        return read(int64_t{});
      case DType::kInt32:
        return read(int32_t{});
      case DType::kInt16:
        return read(int16_t{});
      case DType::kInt8:
        return read(int8_t{});
      default:
        return read(uint8_t{});
    }
  }

  std::string Item(size_t i) const {
    const double x = At(i);
    if (value_.type.dtype == DType::kBool) return x != 0 ? "True" : "False";
    if (value_.type.dtype == DType::kInt64) {  // a double has 53 bits
      int64_t whole = 0;
      std::memcpy(&whole, Raw(i), sizeof whole);
      return absl::StrCat(whole);
    }
    if (!program::IsFloating(value_.type.dtype)) return absl::StrCat(static_cast<int64_t>(x));
    return PythonFloat(value_.type.dtype == DType::kFloat32 ? Shortest(static_cast<float>(x)) : x);
  }

  // 0.485 where the float nearest to it stands: torch rounds the double that Python reads.
  static double Shortest(float x) {
    char text[32];
    *std::to_chars(text, text + sizeof text - 1, x).ptr = '\0';
    const double read = std::strtod(text, nullptr);
    return static_cast<float>(read) == x ? read : static_cast<double>(x);
  }

  std::string Sizes() const { return absl::StrJoin(value_.type.sizes, ", "); }

  std::string Dtype() const {
    return value_.type.dtype == DType::kFloat32
               ? ""
               : absl::StrCat(", dtype=", program::TorchName(value_.type.dtype));
  }

  std::string Recognised() const {
    if (count_ == 0) return absl::StrCat("torch.zeros(", Sizes(), Dtype(), ")");
    if (!Readable()) return "";
    const auto& sizes = value_.type.sizes;
    bool equal = true, counts = true;
    for (size_t i = 0; i < count_; ++i) {
      equal = equal && std::memcmp(Raw(0), Raw(i), ItemBytes()) == 0;
      counts = counts && At(i) == static_cast<double>(i);
    }
    if (sizes.empty()) return absl::StrCat("torch.tensor(", Item(0), Dtype(), ")");
    if (equal && At(0) == 0 && !std::signbit(At(0)))
      return absl::StrCat("torch.zeros(", Sizes(), Dtype(), ")");
    if (equal && At(0) == 1) return absl::StrCat("torch.ones(", Sizes(), Dtype(), ")");
    if (equal) return absl::StrCat("torch.full(", PythonTuple(sizes), ", ", Item(0), Dtype(), ")");
    if (counts && count_ > 2) return Arange();
    return Triangle();
  }

  std::string Arange() const {
    const bool is_int64 = value_.type.dtype == DType::kInt64;
    std::string text =
        absl::StrCat("torch.arange(", count_,
                     is_int64 ? "" : absl::StrCat(", dtype=", program::TorchName(value_.type.dtype)), ")");
    if (value_.type.sizes.size() > 1) absl::StrAppend(&text, ".reshape(", Sizes(), ")");
    return text;
  }

  // tril or triu of a constant over the last two dimensions.
  std::string Triangle() const {
    const auto& sizes = value_.type.sizes;
    if (sizes.size() < 2) return "";
    const int64_t rows = sizes[sizes.size() - 2], columns = sizes.back();
    const std::vector<uint8_t> zero(ItemBytes(), 0);
    for (const bool lower : {true, false}) {
      for (const int64_t diagonal : {0, lower ? -1 : 1}) {
        if (rows < 2 || columns < 2) return "";
        const auto inside = [&](int64_t r, int64_t c) {
          return lower ? c - r <= diagonal : c - r >= diagonal;
        };
        size_t first = 0;
        while (first < count_ &&
               !inside(static_cast<int64_t>(first) / columns % rows, static_cast<int64_t>(first) % columns))
          ++first;
        if (first == count_) continue;
        const double fill = At(first);
        bool fits = true;
        for (size_t i = 0; i < count_ && fits; ++i) {
          const int64_t r = static_cast<int64_t>(i) / columns % rows, c = static_cast<int64_t>(i) % columns;
          fits = std::memcmp(Raw(i), inside(r, c) ? Raw(first) : zero.data(), ItemBytes()) ==
                 0;  // -0.0 is not 0.0
        }
        if (!fits) continue;
        const std::string base =
            fill == 1 ? absl::StrCat("torch.ones(", Sizes(), Dtype(), ")")
                      : absl::StrCat("torch.full(", PythonTuple(sizes), ", ", Item(first), Dtype(), ")");
        return absl::StrCat("torch.", lower ? "tril" : "triu", "(", base,
                            diagonal == 0 ? "" : absl::StrCat(", diagonal=", diagonal), ")");
      }
    }
    return "";
  }

  std::string Nested(size_t dim, size_t& next) const {
    if (dim == value_.type.sizes.size()) return Item(next++);
    std::vector<std::string> items;
    for (int64_t i = 0; i < value_.type.sizes[dim]; ++i) items.push_back(Nested(dim + 1, next));
    return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
  }

  std::string Listed() const {
    size_t next = 0;
    const bool natural = value_.type.dtype == DType::kFloat32 || value_.type.dtype == DType::kInt64 ||
                         value_.type.dtype == DType::kBool;
    return absl::StrCat("torch.tensor(", Nested(0, next), natural ? "" : Dtype(), ")");
  }

  std::string Packed() const {
    uLongf size = compressBound(static_cast<uLong>(value_.data.size()));
    std::string compressed(size, '\0');
    if (compress2(reinterpret_cast<Bytef*>(compressed.data()), &size, value_.data.data(),
                  static_cast<uLong>(value_.data.size()), Z_BEST_COMPRESSION) != Z_OK) {
      return "";
    }
    compressed.resize(size);
    return absl::StrCat("_unpack(\"", absl::Base64Escape(compressed), "\", ",
                        program::TorchName(value_.type.dtype), ", ", PythonTuple(value_.type.sizes), ")");
  }

  const Value& value_;
  size_t count_;
};

}  // namespace

ConstantText SpellConstants(const Program& program, const std::vector<ValueId>& values,
                            const std::set<ValueId>& literal) {
  ConstantText out;
  out.expressions.assign(values.size(), "");
  std::vector<ValueId> by_formula;
  std::vector<size_t> positions;
  std::set<program::CallId> calls;
  for (size_t i = 0; i < values.size(); ++i) {
    if (literal.contains(values[i])) continue;
    const std::set<program::CallId> own = FormulaOf(program, values[i]);
    if (own.empty()) continue;
    calls.insert(own.begin(), own.end());
    by_formula.push_back(values[i]);
    positions.push_back(i);
  }
  std::vector<std::string> said;
  if (!by_formula.empty() && SpellFormulas(program, by_formula, calls, &out.setup, &said)) {
    for (size_t k = 0; k < positions.size(); ++k) out.expressions[positions[k]] = said[k];
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!out.expressions[i].empty()) continue;
    const Value& value = program.value(values[i]);
    bool packed = false;
    out.expressions[i] = Literal(value).Text(&packed);
    if (!packed) continue;
    out.packed = true;
    out.packed_notes.push_back(absl::StrCat(value.paths.empty() ? "a constant" : value.paths[0], " of shape ",
                                            ShapeText(value.type.sizes), " (", value.data.size(), " bytes)"));
  }
  return out;
}

Lines UnpackHelper() {
  return {"def _unpack(text, dtype, shape):",
          "    \"\"\"A constant of the original, packed with zlib and base64.\"\"\"",
          "    data = bytearray(zlib.decompress(base64.b64decode(text)))",
          "    return torch.frombuffer(data, dtype=dtype).reshape(shape).to(torch.empty(0).device)"};
}

}  // namespace strata::emit

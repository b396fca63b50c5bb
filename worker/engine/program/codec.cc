#include "worker/engine/program/codec.h"

#include <bit>
#include <cstring>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace strata::program {
namespace {

constexpr std::string_view kMagic = "STRATAP2";
constexpr int kMaxDepth = 64;

// Writer and Reader have the same verbs, so one Fields() per struct is both directions and they cannot
// drift apart. Numbers are zigzag varints; a list is its length and its elements.
class Writer {
 public:
  std::string Take() { return std::move(out_); }
  void Raw(std::string_view bytes) { out_.append(bytes); }

  void Integer(int64_t v) {
    uint64_t u = (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
    while (u >= 0x80) {
      out_.push_back(static_cast<char>(u | 0x80));
      u >>= 7;
    }
    out_.push_back(static_cast<char>(u));
  }
  void operator()(const bool& v) { out_.push_back(v ? 1 : 0); }
  void operator()(const int32_t& v) { Integer(v); }
  void operator()(const uint32_t& v) { Integer(v); }
  void operator()(const int64_t& v) { Integer(v); }
  void operator()(const double& v) {
    const auto bits = std::bit_cast<uint64_t>(v);
    for (int i = 0; i < 8; ++i) out_.push_back(static_cast<char>(bits >> (8 * i)));
  }
  void operator()(const std::string& v) {
    Integer(static_cast<int64_t>(v.size()));
    Raw(v);
  }
  void operator()(const std::vector<uint8_t>& v) {
    Integer(static_cast<int64_t>(v.size()));
    out_.append(reinterpret_cast<const char*>(v.data()), v.size());
  }
  template <class E>
  void Enum(const E& v, E) {
    out_.push_back(static_cast<char>(v));
  }
  template <class T, class Element>
  void List(const std::vector<T>& v, Element element) {
    Integer(static_cast<int64_t>(v.size()));
    for (const T& item : v) element(const_cast<T&>(item));
  }
  bool Descend() { return true; }
  void Ascend() {}

 private:
  std::string out_;
};

// After the first failure every read is a no-op and `error` says where and what.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  const std::string& error() const { return error_; }
  size_t offset() const { return offset_; }
  size_t left() const { return bytes_.size() - offset_; }

  void Fail(std::string_view what) {
    if (error_.empty())
      error_ = absl::StrCat("program: byte ", offset_, ": ", absl::string_view(what.data(), what.size()));
  }
  bool Literal(std::string_view expected) {
    if (bytes_.substr(offset_, expected.size()) != expected) return false;
    offset_ += expected.size();
    return true;
  }
  int64_t Integer() {
    uint64_t u = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = Byte();
      if (!error_.empty()) return 0;
      if (shift == 63 && byte > 1) break;
      u |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return static_cast<int64_t>(u >> 1) ^ -static_cast<int64_t>(u & 1);
    }
    Fail("number longer than 64 bits");
    return 0;
  }
  void operator()(bool& v) {
    const uint8_t byte = Byte();
    if (byte > 1) Fail("bool that is neither 0 nor 1");
    v = byte == 1;
  }
  void operator()(int32_t& v) { v = Narrow<int32_t>(); }
  void operator()(uint32_t& v) { v = Narrow<uint32_t>(); }
  void operator()(int64_t& v) { v = Integer(); }
  void operator()(double& v) {
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= static_cast<uint64_t>(Byte()) << (8 * i);
    v = std::bit_cast<double>(bits);
  }
  void operator()(std::string& v) {
    const size_t size = Size();
    v.assign(bytes_.substr(offset_, size));
    offset_ += size;
  }
  void operator()(std::vector<uint8_t>& v) {
    const size_t size = Size();
    const auto* begin = reinterpret_cast<const uint8_t*>(bytes_.data()) + offset_;
    v.assign(begin, begin + size);
    offset_ += size;
  }
  template <class E>
  void Enum(E& v, E last) {
    const uint8_t byte = Byte();
    if (byte > static_cast<uint8_t>(last))
      Fail("unknown enum value");
    else
      v = static_cast<E>(byte);
  }
  // Grows with what was really read: a length alone allocates nothing.
  template <class T, class Element>
  void List(std::vector<T>& v, Element element) {
    const size_t size = Size();
    v.clear();
    for (size_t i = 0; i < size && error_.empty(); ++i) element(v.emplace_back());
  }
  bool Descend() {
    if (++depth_ > kMaxDepth) Fail("nested too deep");
    return error_.empty();
  }
  void Ascend() { --depth_; }

 private:
  uint8_t Byte() {
    if (!error_.empty()) return 0;
    if (left() == 0) {
      Fail("ends in the middle");
      return 0;
    }
    return static_cast<uint8_t>(bytes_[offset_++]);
  }
  // A length. Every element takes a byte at least, so it cannot exceed what is left.
  size_t Size() {
    const int64_t size = Integer();
    if (!error_.empty()) return 0;
    if (size < 0 || static_cast<uint64_t>(size) > left()) {
      Fail(absl::StrCat("length ", size, " with ", left(), " bytes left"));
      return 0;
    }
    return static_cast<size_t>(size);
  }
  template <class T>
  T Narrow() {
    const int64_t v = Integer();
    if (v < std::numeric_limits<T>::min() || v > std::numeric_limits<T>::max()) {
      Fail("number out of range");
      return 0;
    }
    return static_cast<T>(v);
  }

  std::string_view bytes_;
  size_t offset_ = 0;
  int depth_ = 0;
  std::string error_;
};

template <class A, class T>
void Plain(A& a, std::vector<T>& list) {
  a.List(list, [&](T& item) { a(item); });
}

template <class A, class T>
void Named(A& a, std::vector<std::pair<std::string, T>>& list) {
  a.List(list, [&](std::pair<std::string, T>& item) { a(item.first), a(item.second); });
}

template <class A>
void Fields(A& a, TensorType& t) {
  a.Enum(t.dtype, DType::kOther);
  Plain(a, t.sizes);
  Plain(a, t.strides);
  a(t.storage_offset);
  a(t.device);
}

template <class A>
void Fields(A& a, Domain& d) {
  a(d.known);
  a(d.min), a(d.max);
  a(d.has_nan), a(d.has_neg_inf), a(d.has_pos_inf);
  a(d.is_integral), a(d.is_binary), a(d.is_arange), a(d.is_permutation);
}

template <class A>
void Fields(A& a, Value& v) {
  a(v.id);
  a.Enum(v.kind, ValueKind::kResult);
  Fields(a, v.type);
  a(v.storage);
  Plain(a, v.paths);
  a(v.persistent), a(v.is_wrapped_number);
  a(v.producer), a(v.result_index);
  a(v.init_producer), a(v.init_result_index);
  Fields(a, v.domain);
  a(v.data);
}

template <class A>
void Fields(A& a, Argument& v) {
  a.Enum(v.kind, Argument::Kind::kList);
  using Kind = Argument::Kind;
  switch (v.kind) {
    case Kind::kNone:
    case Kind::kGenerator:
      break;
    case Kind::kValue:
      a(v.value);
      break;
    case Kind::kBool:
      a(v.boolean);
      break;
    case Kind::kInt:
      a(v.integer);
      break;
    case Kind::kDouble:
      a(v.real);
      break;
    case Kind::kComplex:
      a(v.real), a(v.imag);
      break;
    case Kind::kDType:
      a.Enum(v.dtype, DType::kOther);
      break;
    case Kind::kString:
    case Kind::kLayout:
    case Kind::kDevice:
    case Kind::kMemoryFormat:
      a(v.text);
      break;
    case Kind::kList:
      if (a.Descend()) a.List(v.items, [&](Argument& item) { Fields(a, item); });
      a.Ascend();
      break;
  }
}

template <class A>
void Fields(A& a, NamedArgument& v) {
  a(v.name), a(v.schema_type);
  Fields(a, v.value);
  a(v.is_default), a(v.kwarg_only);
}

template <class A>
void Fields(A& a, Frame& f) {
  a(f.function), a(f.file), a(f.line), a(f.serial);
  Plain(a, f.targets);
}

template <class A>
void Fields(A& a, Call& c) {
  a(c.id), a(c.op), a(c.overload);
  a.List(c.args, [&](NamedArgument& v) { Fields(a, v); });
  Plain(a, c.results);
  a(c.result_is_list), a(c.result_is_tuple);
  Plain(a, c.mutated);
  Plain(a, c.mutated_to);
  a(c.scope);
  a.List(c.frames, [&](Frame& f) { Fields(a, f); });
  a(c.marks);
  a.Enum(c.autocast, DType::kOther);
}

template <class A>
void Fields(A& a, Tree& t) {
  a.Enum(t.kind, Tree::Kind::kOpaque);
  a(t.value), a(t.text);
  Plain(a, t.keys);
  if (a.Descend()) a.List(t.items, [&](Tree& item) { Fields(a, item); });
  a.Ascend();
}

template <class A>
void Fields(A& a, Module& m) {
  a(m.id);
  Plain(a, m.paths);
  a(m.class_name), a(m.qualified_class), a(m.file), a(m.line);
  a(m.is_torch_nn), a(m.is_container), a(m.training);
  Named(a, m.parameters);
  Named(a, m.buffers);
  Named(a, m.children);
  a(m.settings_known);
  a.List(m.settings, [&](Setting& s) { a(s.name), a(s.value), a(s.is_default); });
}

template <class A>
void Fields(A& a, Invocation& i) {
  a(i.id), a(i.parent), a(i.module), a(i.begin), a(i.end);
  a.List(i.args, [&](Tree& t) { Fields(a, t); });
  a.List(i.kwargs, [&](std::pair<std::string, Tree>& k) { a(k.first), Fields(a, k.second); });
  Plain(a, i.parameter_names);
  Fields(a, i.output);
}

template <class A>
void Fields(A& a, Program& p) {
  a(p.source_file), a(p.torch_version), a(p.device);
  a.List(p.values, [&](Value& v) { Fields(a, v); });
  a.List(p.calls, [&](Call& c) { Fields(a, c); });
  a.List(p.modules, [&](Module& m) { Fields(a, m); });
  a.List(p.invocations, [&](Invocation& i) { Fields(a, i); });
  a.List(p.init_calls, [&](Call& c) { Fields(a, c); });
  Plain(a, p.notes);
}

}  // namespace

std::string Encode(const Program& program) {
  Writer writer;
  writer.Raw(kMagic);
  // Fields() is shared with the reader and so takes a mutable reference; the writer only reads.
  Fields(writer, const_cast<Program&>(program));
  return writer.Take();
}

absl::StatusOr<Program> Decode(std::string_view bytes) {
  Reader reader(bytes);
  if (!reader.Literal(kMagic)) {
    return absl::DataLossError("program: byte 0: no program, or one of another engine version");
  }
  Program program;
  Fields(reader, program);
  if (!reader.error().empty()) return absl::DataLossError(reader.error());
  if (reader.left() != 0) {
    return absl::DataLossError(
        absl::StrCat("program: byte ", reader.offset(), ": ", reader.left(), " bytes too many"));
  }
  if (absl::Status status = CheckIds(program); !status.ok()) return status;
  return program;
}

}  // namespace strata::program

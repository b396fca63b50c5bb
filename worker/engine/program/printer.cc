#include "worker/engine/program/printer.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::program {
namespace {

std::string Number(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char text[32];
  for (int digits = 6; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, v);
    if (std::strtod(text, nullptr) == v) break;
  }
  return std::strpbrk(text, ".en") ? text : absl::StrCat(text, ".0");
}

std::string BaseName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string Digest(const std::vector<uint8_t>& data) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: a short name for people, not a check
  for (uint8_t byte : data) hash = (hash ^ byte) * 0x100000001b3;
  return absl::StrCat(absl::Hex(hash, absl::kZeroPad16));
}

std::string Quoted(const std::string& text) { return absl::StrCat("\"", text, "\""); }

std::string Type(const TensorType& type) {
  std::string out = absl::StrCat(ShortName(type.dtype), "[", absl::StrJoin(type.sizes, ","), "]");
  int64_t dense = 1;
  bool contiguous = true;
  for (size_t i = type.sizes.size(); i-- > 0;) {
    if (type.sizes[i] != 1 && type.strides[i] != dense) contiguous = false;
    dense *= type.sizes[i];
  }
  if (!contiguous && dense != 0) absl::StrAppend(&out, " strides ", absl::StrJoin(type.strides, ","));
  return out;
}

class Printer {
 public:
  explicit Printer(const Program& program) : p_(program) {}

  std::string Run() {
    absl::StrAppend(&out_, "program ", Quoted(p_.source_file), " torch ", p_.torch_version, " on ", p_.device,
                    "\n");
    Leaves();
    Modules();
    if (!p_.init_calls.empty()) Line(0, "init:");
    for (const Call& call : p_.init_calls) PrintCall(call, 1);
    if (!p_.invocations.empty()) PrintInvocation(0, 0);
    for (const std::string& note : p_.notes) Line(0, absl::StrCat("note: ", note));
    return std::move(out_);
  }

 private:
  void Line(int depth, const std::string& text) {
    out_.append(static_cast<size_t>(2 * depth), ' ');
    absl::StrAppend(&out_, text, "\n");
  }

  std::string Name(ValueId id) const {
    if (id == kNoId) return "undefined";
    const Value& value = p_.value(id);
    static constexpr const char* kLetters[] = {"%x", "%p", "%b", "%c", "%"};
    return absl::StrCat(kLetters[static_cast<size_t>(value.kind)], id);
  }

  std::string Show(const Argument& a) const {
    using Kind = Argument::Kind;
    switch (a.kind) {
      case Kind::kNone:
        return "None";
      case Kind::kValue: {
        if (a.value == kNoId) return "undefined";
        const Value& v = p_.value(a.value);
        return v.paths.empty() ? Name(a.value) : absl::StrCat(Name(a.value), " ", Quoted(v.paths[0]));
      }
      case Kind::kBool:
        return a.boolean ? "True" : "False";
      case Kind::kInt:
        return absl::StrCat(a.integer);
      case Kind::kDouble:
        return Number(a.real);
      case Kind::kComplex:
        return absl::StrCat("(", Number(a.real), "+", Number(a.imag), "j)");
      case Kind::kString:
        return Quoted(a.text);
      case Kind::kDType:
        return TorchName(a.dtype);
      case Kind::kGenerator:
        return "generator";
      case Kind::kLayout:
      case Kind::kDevice:
      case Kind::kMemoryFormat:
        return a.text;
      case Kind::kList: {
        std::vector<std::string> items;
        for (const Argument& item : a.items) items.push_back(Show(item));
        return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
      }
    }
    return "?";
  }

  std::string Show(const Tree& t) const {
    std::vector<std::string> items;
    for (size_t i = 0; i < t.items.size(); ++i) {
      const std::string key = i < t.keys.size() ? absl::StrCat(t.keys[i], ": ") : "";
      items.push_back(key + Show(t.items[i]));
    }
    const std::string body = absl::StrJoin(items, ", ");
    switch (t.kind) {
      case Tree::Kind::kTensor:
        return Name(t.value);
      case Tree::Kind::kNone:
        return "None";
      case Tree::Kind::kTuple:
        return absl::StrCat("(", body, items.size() == 1 ? ",)" : ")");
      case Tree::Kind::kList:
        return absl::StrCat("[", body, "]");
      case Tree::Kind::kDict:
        return absl::StrCat("{", body, "}");
      case Tree::Kind::kDataclass:
      case Tree::Kind::kNamedTuple:
        return absl::StrCat(t.text, "{", body, "}");
      case Tree::Kind::kLiteral:
        return t.text;
      case Tree::Kind::kOpaque:
        return absl::StrCat("<", t.text, ">");
    }
    return "?";
  }

  std::string DomainText(const Domain& d) const {
    if (!d.known) return "";
    std::string out = absl::StrCat(" in [", Number(d.min), ", ", Number(d.max), "]");
    if (d.is_binary)
      absl::StrAppend(&out, " binary");
    else if (d.is_integral)
      absl::StrAppend(&out, " whole");
    if (d.is_arange)
      absl::StrAppend(&out, " arange");
    else if (d.is_permutation)
      absl::StrAppend(&out, " permutation");
    if (d.has_nan) absl::StrAppend(&out, " nan");
    if (d.has_neg_inf) absl::StrAppend(&out, " -inf");
    if (d.has_pos_inf) absl::StrAppend(&out, " +inf");
    return out;
  }

  void Leaves() {
    static constexpr const char* kKinds[] = {"input ", "param ", "buffer", "const "};
    for (const Value& v : p_.values) {
      if (v.kind == ValueKind::kResult) continue;
      std::string line = absl::StrCat(kKinds[static_cast<size_t>(v.kind)], " ", Name(v.id));
      for (size_t i = 0; i < v.paths.size(); ++i)
        absl::StrAppend(&line, i == 0 ? " " : " = ", Quoted(v.paths[i]));
      absl::StrAppend(&line, " : ", Type(v.type));
      if (v.kind != ValueKind::kParameter) absl::StrAppend(&line, DomainText(v.domain));
      if (!v.persistent) absl::StrAppend(&line, " not persistent");
      if (v.is_wrapped_number) absl::StrAppend(&line, " number");
      if (v.init_producer != kNoId) absl::StrAppend(&line, " made by init ", v.init_producer);
      if (!v.data.empty()) absl::StrAppend(&line, " data ", v.data.size(), " bytes ", Digest(v.data));
      Line(0, line);
    }
  }

  void Modules() {
    for (const Module& m : p_.modules) {
      std::string line = "module ";
      for (size_t i = 0; i < m.paths.size(); ++i)
        absl::StrAppend(&line, i == 0 ? "" : " = ", Quoted(m.paths[i]));
      absl::StrAppend(&line, " ", m.is_torch_nn ? "nn." : "", m.class_name);
      if (m.settings_known) {
        std::vector<std::string> settings;
        for (const Setting& s : m.settings) {
          if (!s.is_default) settings.push_back(absl::StrCat(s.name, "=", s.value));
        }
        absl::StrAppend(&line, "(", absl::StrJoin(settings, ", "), ")");
      }
      if (m.training) absl::StrAppend(&line, " training");
      if (!m.is_torch_nn && !m.file.empty()) absl::StrAppend(&line, "   # ", BaseName(m.file), ":", m.line);
      Line(0, line);
    }
  }

  void PrintInvocation(InvocationId id, int depth) {
    const Invocation& v = p_.invocations[static_cast<size_t>(id)];
    const Module& m = p_.modules[static_cast<size_t>(v.module)];
    std::vector<std::string> args;
    for (const Tree& t : v.args) args.push_back(Show(t));
    for (const auto& [name, t] : v.kwargs) args.push_back(absl::StrCat(name, "=", Show(t)));
    Line(depth,
         absl::StrCat(m.paths[0].empty() ? m.class_name : m.paths[0], "(", absl::StrJoin(args, ", "), "):"));
    CallId next = v.begin;
    // Children are the later invocations whose parent is this one, in order of execution.
    for (size_t child = static_cast<size_t>(id) + 1; child < p_.invocations.size(); ++child) {
      const Invocation& c = p_.invocations[child];
      if (c.parent != id) continue;
      while (next < c.begin) PrintCall(p_.call(next++), depth + 1);
      PrintInvocation(static_cast<InvocationId>(child), depth + 1);
      next = std::max(next, c.end);
    }
    while (next < v.end) PrintCall(p_.call(next++), depth + 1);
    Line(depth + 1, absl::StrCat("return ", Show(v.output)));
  }

  std::string Arguments(const Call& call) const {
    std::vector<std::string> args;
    bool skipped = false;
    for (const NamedArgument& a : call.args) {
      if (a.is_default) {
        skipped = true;
      } else {
        args.push_back(skipped || a.kwarg_only ? absl::StrCat(a.name, "=", Show(a.value)) : Show(a.value));
      }
    }
    return absl::StrJoin(args, ", ");
  }

  std::string Marks(uint32_t marks) const {
    std::string out;
    if (marks & kRandom) absl::StrAppend(&out, " random");
    if (marks & kMutates) absl::StrAppend(&out, " mutates");
    if (marks & kDataDependent) absl::StrAppend(&out, " data-dependent");
    if (marks & kOpaque) absl::StrAppend(&out, " opaque");
    return out;
  }

  std::string Where(const Call& call) const {
    std::string out;
    if (call.scope != kNoId) {
      const Invocation& scope = p_.invocations[static_cast<size_t>(call.scope)];
      absl::StrAppend(&out, p_.modules[static_cast<size_t>(scope.module)].paths[0]);
    }
    for (size_t i = 0; i < call.frames.size(); ++i) {
      const Frame& f = call.frames[i];
      if (i == 0) {
        absl::StrAppend(&out, out.empty() ? "" : " ", "@ ", BaseName(f.file), ":", f.line);
      } else {
        absl::StrAppend(&out, " > ", f.function, "#", f.serial, " ", BaseName(f.file), ":", f.line);
      }
    }
    if (!call.frames.empty()) {
      for (const std::string& target : call.frames.back().targets) absl::StrAppend(&out, " =", target);
    }
    return out;
  }

  void PrintCall(const Call& call, int depth) {
    std::vector<std::string> results, types;
    for (ValueId id : call.results) {
      results.push_back(Name(id));
      types.push_back(id == kNoId ? "undefined" : Type(p_.value(id).type));
    }
    std::string line = results.empty() ? "" : absl::StrCat(absl::StrJoin(results, ", "), " = ");
    const std::string op = call.op.starts_with("aten::") ? call.op.substr(6) : call.op;
    absl::StrAppend(&line, op, call.overload.empty() ? "" : ".", call.overload, "(", Arguments(call), ")");
    if (!types.empty()) absl::StrAppend(&line, " : ", absl::StrJoin(types, ", "));
    for (size_t i = 0; i < call.mutated.size(); ++i) {
      absl::StrAppend(&line, i == 0 ? " writes " : ", ", Name(call.mutated[i]), " as ",
                      Name(call.mutated_to[i]));
    }
    if (call.autocast != DType::kOther) absl::StrAppend(&line, " autocast ", ShortName(call.autocast));
    const std::string where = Where(call);
    absl::StrAppend(&line, Marks(call.marks), where.empty() ? "" : "   # ", where);
    Line(depth, line);
  }

  const Program& p_;
  std::string out_;
};

}  // namespace

std::string Print(const Program& program) { return Printer(program).Run(); }

}  // namespace strata::program

#include "worker/engine/emit/members.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/constants.h"

namespace strata::emit {
namespace {

using program::Program;
using program::ValueId;

void CollectConstructors(const std::vector<Member>& members, std::vector<const Constructor*>& out) {
  for (const Member& member : members) {
    if (member.kind == Member::Kind::kModule) out.push_back(&member.constructor);
    CollectConstructors(member.elements, out);
  }
}

Lines ModuleLines(const Dimensions& dimensions, const Member& member) {
  if (member.kind == Member::Kind::kModule) return {dimensions.Text(member.constructor)};
  Lines lines = {"nn.Sequential("};
  for (const Member& element : member.elements) {
    Lines inner = ModuleLines(dimensions, element);
    inner.back() += ",";
    Append(lines, Indented(inner));
  }
  lines.push_back(")");
  return lines;
}

std::string ParameterText(const Program& program, const Member& member, const Dimensions& dimensions,
                          const std::string& shape_name) {
  const program::Value& value = program.value(member.value);
  const auto& sizes = value.type.sizes;
  const std::string dtype = value.type.dtype == program::DType::kFloat32
                                ? ""
                                : absl::StrCat(", dtype=", program::TorchName(value.type.dtype));
  if (sizes.size() == 1) {
    const bool bias = absl::StrContains(member.name, "bias") || absl::StrContains(member.name, "beta");
    return absl::StrCat("nn.Parameter(torch.", bias ? "zeros" : "ones", "(",
                        dimensions.Text("dim", absl::StrCat(sizes[0])), dtype, "))");
  }
  const std::string shape = !shape_name.empty() ? "*" + shape_name : absl::StrJoin(sizes, ", ");
  if (sizes.empty()) return absl::StrCat("nn.Parameter(torch.ones(()", dtype, "))");
  return absl::StrCat("nn.Parameter(torch.randn(", shape, dtype, ") * 0.02)");
}

class InitWriter {
 public:
  InitWriter(const Program& program, const std::vector<Member>& members, const std::set<ValueId>& literal)
      : program_(program), members_(members), literal_(literal), dimensions_(Constructors(members, own_)) {}

  absl::StatusOr<InitText> Run() {
    std::vector<ValueId> buffers;
    for (const Member& member : members_) {
      if (member.kind == Member::Kind::kBuffer) buffers.push_back(member.value);
    }
    ConstantText constants = SpellConstants(program_, buffers, literal_);
    out_.packed = constants.packed;
    out_.packed_notes = std::move(constants.packed_notes);
    std::set<std::string> lists;
    size_t buffer = 0;
    bool setup_done = constants.setup.empty();
    for (const Member& member : members_) {
      if (member.kind == Member::Kind::kBuffer) {
        if (!setup_done) Append(out_.lines, constants.setup);
        setup_done = true;
        WriteBuffer(member, constants.expressions[buffer++]);
      } else if (!member.list.empty()) {
        if (lists.insert(member.list).second) WriteList(member.list);
      } else {
        WriteMember(member);
      }
    }
    out_.dimensions = dimensions_.list();
    if (shape_.empty()) return out_;
    out_.dimensions.push_back({"shape", shape_});
    return out_;
  }

 private:
  // Constructors of submodules; a lone length of parameters counts as one.
  std::vector<const Constructor*> Constructors(const std::vector<Member>& members, Constructor& own) {
    std::vector<const Constructor*> all;
    CollectConstructors(members, all);
    for (const Member& member : members) {
      if (member.kind != Member::Kind::kParameter) continue;
      const auto& sizes = program_.value(member.value).type.sizes;
      if (sizes.size() == 1) own.arguments.push_back({"dim", absl::StrCat(sizes[0]), true, true});
    }
    if (!own.arguments.empty()) all.push_back(&own);
    const bool lone = members.size() == 1 && members[0].kind == Member::Kind::kParameter;
    if (lone && program_.value(members[0].value).type.sizes.size() > 1) {
      shape_ = PythonTuple(program_.value(members[0].value).type.sizes);
    }
    return all;
  }

  void WriteMember(const Member& member) {
    if (member.kind == Member::Kind::kParameter) {
      out_.lines.push_back(
          absl::StrCat("self.", member.name, " = ",
                       ParameterText(program_, member, dimensions_, shape_.empty() ? "" : "shape")));
      return;
    }
    Lines lines = ModuleLines(dimensions_, member);
    lines[0] = absl::StrCat("self.", member.name, " = ", lines[0]);
    Append(out_.lines, lines);
  }

  void WriteBuffer(const Member& member, std::string expression) {
    const program::Value& value = program_.value(member.value);
    if (expression.empty()) {
      // No content was kept (a running statistic of a torch.nn class): the weight map carries it.
      const bool variance = absl::StrContains(member.name, "var");
      expression = absl::StrCat("torch.", variance ? "ones" : "zeros", "(", PythonTuple(value.type.sizes),
                                ", dtype=", program::TorchName(value.type.dtype), ")");
    }
    out_.lines.push_back(absl::StrCat(
        "self.register_buffer(", PythonString(member.name), ", ", expression,
        value.kind == program::ValueKind::kBuffer && value.persistent ? ")" : ", persistent=False)"));
  }

  void WriteList(const std::string& list) {
    std::map<int64_t, const Member*> by_index;
    for (const Member& member : members_) {
      if (member.list == list) by_index[member.index] = &member;
    }
    std::vector<Lines> items;
    for (const auto& element : by_index) items.push_back(ModuleLines(dimensions_, *element.second));
    const bool equal = items.size() > 1 &&
                       std::all_of(items.begin(), items.end(), [&](const Lines& l) { return l == items[0]; });
    if (equal && items[0].size() == 1) {
      out_.lines.push_back(absl::StrCat("self.", list, " = nn.ModuleList(", items[0][0], " for _ in range(",
                                        items.size(), "))"));
      return;
    }
    out_.lines.push_back(absl::StrCat("self.", list, " = nn.ModuleList(["));
    for (Lines& item : items) {
      item.back() += ",";
      Append(out_.lines, Indented(item));
    }
    out_.lines.push_back("])");
  }

  const Program& program_;
  const std::vector<Member>& members_;
  const std::set<ValueId>& literal_;
  Constructor own_;
  std::string shape_;  // literal, where one parameter of several dimensions is all there is
  Dimensions dimensions_;
  InitText out_;
};

}  // namespace

void NameMembers(std::vector<Member>& members, const std::map<std::string, int64_t>& list_sizes) {
  std::map<std::string, std::set<int64_t>> present;
  for (const Member& member : members) {
    if (!member.list.empty()) present[member.list].insert(member.index);
  }
  NameScope names;
  for (const char* taken :
       {"forward", "training", "state_dict", "parameters", "buffers", "children", "modules"})
    names.Reserve(taken);
  std::map<std::string, int> bases;
  for (Member& member : members) {
    if (!member.list.empty()) {
      const auto size = list_sizes.find(member.list);
      const bool whole =
          size != list_sizes.end() && static_cast<int64_t>(present[member.list].size()) == size->second;
      if (whole && IsIdentifier(member.list)) continue;
      member.base = absl::StrCat(member.list, "_", member.index);
      member.list.clear();
    }
    ++bases[ToIdentifier(member.base)];
  }
  for (const Member& member : members) {
    if (!member.list.empty()) names.Reserve(member.list);
  }
  std::map<std::string, int> used;
  for (Member& member : members) {
    if (!member.list.empty()) {
      member.name = absl::StrCat(member.list, ".", member.index);
      continue;
    }
    const std::string base = ToIdentifier(member.base);
    if (bases[base] == 1 && names.IsFree(base)) {
      member.name = names.Unique(base);
      continue;
    }
    do {
      member.name = absl::StrCat(base, ++used[base]);
    } while (!names.IsFree(member.name));
    names.Reserve(member.name);
  }
}

std::string AttributeText(const Member& member) {
  if (member.list.empty()) return "self." + member.name;
  return absl::StrCat("self.", member.list, "[", member.index, "]");
}

absl::StatusOr<InitText> WriteInit(const Program& program, const std::vector<Member>& members,
                                   const std::set<ValueId>& literal) {
  return InitWriter(program, members, literal).Run();
}

}  // namespace strata::emit

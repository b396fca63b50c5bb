#include "worker/engine/emit/output_tree.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace strata::emit {
namespace {

using program::Tree;

// "model.Block.Output" -> "Output".
std::string LastPart(const std::string& qualified) { return qualified.substr(qualified.rfind('.') + 1); }

// Text that stands in the pattern as it is.
std::string Verbatim(const std::string& text) { return absl::StrReplaceAll(text, {{"$", "$$"}}); }

// repr() writes 'name'.
std::string KeyText(const std::string& repr) {
  const bool plain = repr.size() > 2 && repr.front() == '\'' && IsIdentifier(repr.substr(1, repr.size() - 2));
  return plain ? PythonString(repr.substr(1, repr.size() - 2)) : Verbatim(repr);
}

class Speller {
 public:
  std::string Text(const Tree& tree, bool top) {
    switch (tree.kind) {
      case Tree::Kind::kTensor:
        out_.values.push_back(tree.value);
        return absl::StrCat("$", out_.values.size() - 1);
      case Tree::Kind::kLiteral:
        return Verbatim(tree.text);
      case Tree::Kind::kList:
        return absl::StrCat("[", absl::StrJoin(Items(tree), ", "), "]");
      case Tree::Kind::kTuple:
        return Tuple(tree, top);
      case Tree::Kind::kDict:
        return Dict(tree);
      case Tree::Kind::kDataclass:
      case Tree::Kind::kNamedTuple:
        return Record(tree);
      case Tree::Kind::kNone:
      case Tree::Kind::kOpaque:
        break;
    }
    return "None";
  }

  OutputText Take() { return std::move(out_); }

 private:
  std::vector<std::string> Items(const Tree& tree) {
    std::vector<std::string> items;
    for (const Tree& item : tree.items) items.push_back(Text(item, false));
    return items;
  }

  std::string Tuple(const Tree& tree, bool top) {
    const std::vector<std::string> items = Items(tree);
    const std::string text = absl::StrJoin(items, ", ");
    if (absl::StartsWith(tree.text, "torch.return_types.")) return absl::StrCat(tree.text, "((", text, "))");
    if (items.size() == 1) return absl::StrCat("(", text, ",)");
    return top && !items.empty() ? text : absl::StrCat("(", text, ")");
  }

  std::string Dict(const Tree& tree) {
    const bool ordered = LastPart(tree.text) == "OrderedDict";
    std::vector<std::string> items = Items(tree);
    for (size_t i = 0; i < items.size(); ++i) {
      const std::string key = KeyText(tree.keys[i]);
      items[i] = ordered ? absl::StrCat("(", key, ", ", items[i], ")") : absl::StrCat(key, ": ", items[i]);
    }
    const std::string text = absl::StrJoin(items, ", ");
    if (!ordered) return absl::StrCat("{", text, "}");
    out_.imports.insert("from collections import OrderedDict");
    return absl::StrCat("OrderedDict([", text, "])");
  }

  std::string Record(const Tree& tree) {
    const std::string name = LastPart(tree.text);
    std::vector<std::string> items = Items(tree);
    for (size_t i = 0; i < items.size(); ++i) items[i] = absl::StrCat(tree.keys[i], "=", items[i]);
    if (defined_.insert(name).second) Define(tree, name);
    return absl::StrCat(name, "(", absl::StrJoin(items, ", "), ")");
  }

  void Define(const Tree& tree, const std::string& name) {
    if (tree.kind == Tree::Kind::kNamedTuple) {
      out_.imports.insert("from collections import namedtuple");
      std::vector<std::string> fields;
      for (const std::string& key : tree.keys) fields.push_back(PythonString(key));
      Append(out_.classes, {absl::StrCat(name, " = namedtuple(", PythonString(name), ", [",
                                         absl::StrJoin(fields, ", "), "])"),
                            "", ""});
      return;
    }
    out_.imports.insert("from dataclasses import dataclass");
    Append(out_.classes, {"@dataclass", absl::StrCat("class ", name, ":")});
    for (size_t i = 0; i < tree.items.size(); ++i) {
      const bool tensor = tree.items[i].kind == Tree::Kind::kTensor;
      out_.classes.push_back(absl::StrCat("    ", tree.keys[i], ": ", tensor ? "torch.Tensor" : "object"));
    }
    if (tree.items.empty()) out_.classes.push_back("    pass");
    Append(out_.classes, {"", ""});
  }

  OutputText out_;
  std::set<std::string> defined_;
};

}  // namespace

OutputText SpellOutput(const Tree& output) {
  Speller speller;
  std::string pattern = speller.Text(output, true);
  OutputText out = speller.Take();
  out.pattern = std::move(pattern);
  return out;
}

}  // namespace strata::emit

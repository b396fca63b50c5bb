#include "worker/engine/emit/forward_writer.h"

#include <algorithm>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "worker/engine/emit/flow.h"
#include "worker/engine/emit/folding.h"
#include "worker/engine/emit/index_chain.h"
#include "worker/engine/emit/sizes.h"
#include "worker/engine/emit/spelling.h"

namespace strata::emit {
namespace {

using program::Call;
using program::kNoId;
using program::ValueId;

// One try at the text, with `keep` as it stands.
class Attempt {
 public:
  Attempt(const program::Program& program, const Function& function, const ForwardOptions& options,
          const Flow& flow, const std::set<size_t>& keep)
      : program_(program),
        function_(function),
        options_(options),
        flow_(flow),
        sizes_(program, function),
        folding_(Fold(program, flow, keep)) {
    for (const std::string& name : sizes_.Reserved()) reserved_.insert(name);
    for (const char* name : {"self", "torch", "nn", "F", "math"}) reserved_.insert(name);
    for (const Loop& loop : flow.loops) {
      for (const auto& list : loop.lists) reserved_.insert(list.second);
    }
    // scores = self.scores(q): as a function, scores may not be a variable too.
    for (const Step& step : flow.steps) {
      if (step.apply && IsIdentifier(step.apply->callee)) reserved_.insert(step.apply->callee);
    }
    FindLastUses();
    for (const auto& [name, id] : function.parameters) {
      if (id != kNoId) Bind(id, name);
      parameter_names_.insert(name);
    }
  }

  ForwardBody Run(bool with_return) {
    for (size_t i = 0; i < flow_.steps.size(); ++i) {
      OpenLoop(i);
      if (folding_.into[i] == Folding::kStatement) WriteStatement(i);
      CloseLoop(i);
    }
    ForwardBody body;
    for (const ValueId id : flow_.returns) body.results.push_back(Value(id).expr.text);
    if (with_return) WriteReturn(body.results);
    body.lines = sizes_.Header();
    Append(body.lines, lines_);
    return body;
  }

  const absl::Status& status() const { return status_; }
  // The steps folded into the widest line beyond the limit; empty if every line fits.
  const std::vector<size_t>& too_wide() const { return too_wide_; }

 private:
  void FindLastUses() {
    for (const auto& [id, uses] : flow_.uses) {
      for (const size_t u : uses) last_use_[id] = std::max(last_use_[id], folding_.RootOf(u));
    }
    for (const Loop& loop : flow_.loops) {
      for (size_t i = loop.begin; i < loop.end; ++i) {
        for (const ValueId id : flow_.Reads(program_, flow_.steps[i])) {
          const auto made = flow_.producer.find(id);
          const bool outside = made == flow_.producer.end() || made->second < loop.begin;
          if (outside) last_use_[id] = std::max(last_use_[id], loop.end);
        }
      }
      for (const auto& [before, after] : loop.carried) {
        const size_t written = flow_.producer.at(after);
        last_use_[before] = written;
        last_use_[after] = std::max(last_use_[after], loop.end);
        carried_from_[after] = before;
      }
    }
  }

  bool LiveAfter(ValueId id, size_t statement) const {
    const auto found = last_use_.find(id);
    return found != last_use_.end() && found->second > statement;
  }

  void Bind(ValueId id, const std::string& name) {
    names_[id] = name;
    holders_[name].push_back(id);
  }

  bool IsFree(const std::string& name, size_t statement) const {
    if (reserved_.count(name) > 0) return false;
    const auto found = holders_.find(name);
    if (found == holders_.end()) return true;
    return std::none_of(found->second.begin(), found->second.end(),
                        [&](ValueId id) { return LiveAfter(id, statement); });
  }

  std::string ChooseName(const std::vector<std::string>& wanted, size_t statement) const {
    for (const std::string& name : wanted) {
      if (IsIdentifier(name) && IsFree(name, statement)) return name;
    }
    for (int i = 2;; ++i) {
      std::string name = absl::StrCat(wanted.empty() ? "h" : wanted[0], i);
      if (IsFree(name, statement)) return name;
    }
  }

  // Variables that the statement reads, folded steps included.
  std::vector<ValueId> VariablesOf(size_t statement) const {
    std::vector<ValueId> out;
    for (size_t i = 0; i <= statement && i < flow_.steps.size(); ++i) {
      if (folding_.RootOf(i) != statement) continue;
      for (const ValueId id : flow_.Reads(program_, flow_.steps[i])) {
        if (names_.count(id) > 0) out.push_back(id);
      }
    }
    return out;
  }

  std::vector<std::string> WantedNames(size_t i, size_t position) const {
    std::vector<std::string> wanted;
    const Step& step = flow_.steps[i];
    if (function_.follow_first && position == 0) {
      const auto reads = VariablesOf(i);
      if (!reads.empty() && !LiveAfter(reads[0], i) && parameter_names_.count(names_.at(reads[0])) > 0) {
        wanted.push_back(names_.at(reads[0]));
      }
    }
    if (position < flow_.targets[i].size()) wanted.push_back(flow_.targets[i][position]);
    if (step.apply && position == 0) {
      for (const ValueId read : VariablesOf(i)) {
        const bool same_type =
            program_.value(read).type.dtype == program_.value(step.apply->outputs[0]).type.dtype;
        const bool main_flow =
            !LiveAfter(read, i) && (step.apply->hint.empty() || parameter_names_.count(names_.at(read)));
        if (main_flow && same_type) wanted.push_back(names_.at(read));
        break;
      }
      if (!step.apply->hint.empty()) wanted.push_back(step.apply->hint);
      wanted.push_back("x");
    } else if (!step.apply) {
      const auto reads = VariablesOf(i);
      if (!reads.empty() && !LiveAfter(reads[0], i)) wanted.push_back(names_.at(reads[0]));
    }
    for (const char* name : {"h", "y", "out"}) wanted.push_back(name);
    return wanted;
  }

  void WriteStatement(size_t i) {
    const Step& step = flow_.steps[i];
    if (!step.apply && !program_.call(step.call).mutated.empty()) return WriteMutation(i);
    const std::vector<ValueId> made = Flow::Makes(program_, step);
    const std::vector<ValueId> used = UsedResults(program_, flow_, i);
    const bool picks_one =
        !step.apply && used.size() == 1;  // values, _ = x.max(1) reads better as x.max(1)[0]
    const std::string text = StepText(i).expr.text;
    std::vector<std::string> targets;
    std::vector<std::pair<ValueId, std::string>> bound;
    for (size_t k = 0; k < made.size(); ++k) {
      const bool is_used = std::find(used.begin(), used.end(), made[k]) != used.end() && made[k] != kNoId;
      if (picks_one && !is_used) continue;
      std::string name = "_";
      if (is_used) {
        const auto carried = carried_from_.find(made[k]);
        if (carried != carried_from_.end()) {
          name = names_.at(carried->second);
        } else {
          name = ChooseName(WantedNames(i, picks_one ? 0 : k), i);
          for (const auto& other : bound) {
            if (other.second == name) name = absl::StrCat(name, k);
          }
        }
        bound.emplace_back(made[k], name);
      }
      targets.push_back(name);
    }
    std::string left = absl::StrJoin(targets, ", ");
    if (step.apply && !step.apply->pattern.empty()) left = Filled(step.apply->pattern, targets);
    const std::string comment = ShapeComment(i, used);
    for (const auto& [id, name] : bound) Bind(id, name);
    AddLine(used.empty() ? text : absl::StrCat(left, " = ", text), comment, i);
  }

  void WriteMutation(size_t i) {
    const Call& call = program_.call(flow_.steps[i].call);
    // x[0] += 1 ends by storing x[0] into itself.
    if (const std::string text = SpellStatement(call, Context()); !IsSelfAssignment(text))
      AddLine(text, "", i);
    for (size_t k = 0; k < call.mutated.size(); ++k) {
      const ValueId before = flow_.Canonical(call.mutated[k]);
      const auto name = names_.find(before);
      if (name != names_.end()) {
        Bind(call.mutated_to[k], std::string(name->second));
      } else if (function_.attributes.count(before) > 0) {
        rebound_[call.mutated_to[k]] = function_.attributes.at(before);
      } else if (const Spelled element = Value(before); element.index) {
        rebound_[call.mutated_to[k]] = element.expr.text;
      }
    }
    for (const ValueId id : call.results) {
      if (id == kNoId || names_.count(id) > 0 || call.mutated.empty()) continue;
      const auto name = names_.find(flow_.Canonical(call.mutated[0]));
      if (name != names_.end()) Bind(id, std::string(name->second));
    }
  }

  static bool IsSelfAssignment(const std::string& text) {
    const std::pair<std::string, std::string> sides = absl::StrSplit(text, absl::MaxSplits(" = ", 1));
    return sides.first == sides.second;
  }

  void OpenLoop(size_t i) {
    for (const Loop& loop : flow_.loops) {
      if (loop.begin != i) continue;
      for (const auto& [before, after] : loop.carried) {
        if (names_.count(before) > 0) continue;
        const std::string text = Value(before).expr.text;
        const std::string name = ChooseName({"h"}, i);
        Bind(before, name);
        lines_.push_back(absl::StrCat(name, " = ", text));
      }
      std::vector<std::string> elements, lists;
      for (const auto& [list, element] : loop.lists) {
        lists.push_back(list);
        elements.push_back(element);
      }
      const std::string zip =
          lists.size() == 1 ? lists[0] : absl::StrCat("zip(", absl::StrJoin(lists, ", "), ")");
      lines_.push_back(absl::StrCat("for ", absl::StrJoin(elements, ", "), " in ", zip, ":"));
      in_loop_ = true;
    }
  }

  void CloseLoop(size_t i) {
    for (const Loop& loop : flow_.loops) {
      if (loop.end == i + 1) in_loop_ = false;
    }
  }

  void WriteReturn(const std::vector<std::string>& texts) {
    std::string text = absl::StrJoin(texts, ", ");
    if (!function_.return_pattern.empty()) text = Filled(function_.return_pattern, texts);
    AddLine("return " + (text.empty() ? "None" : text), ShapeComment(flow_.steps.size(), flow_.returns),
            flow_.steps.size());
  }

  void AddLine(const std::string& text, const std::string& comment, size_t statement) {
    const std::string line = (in_loop_ ? "    " : "") + text;
    const bool comment_fits = !comment.empty() && line.size() + comment.size() + 8 <= options_.width + 8;
    lines_.push_back(comment_fits ? line + comment : line);
    if (line.size() + 8 <= options_.width || !too_wide_.empty()) return;
    for (size_t i = 0; i < flow_.steps.size(); ++i) {
      if (folding_.into[i] == statement) too_wide_.push_back(i);
    }
  }

  // "  # [2, 8, 64, 32]" where the statement's result has another shape than what it reads first.
  std::string ShapeComment(size_t statement, const std::vector<ValueId>& results) {
    if (!options_.shape_comments || results.empty() || !function_.twins.empty()) return "";
    const auto& sizes = program_.value(results[0]).type.sizes;
    for (const ValueId id : results) {
      if (program_.value(id).type.sizes != sizes) return "";
    }
    const std::vector<ValueId> reads = VariablesOf(statement);
    if (reads.empty()) return "";
    if (statement == flow_.steps.size() && folding_.RootOf(statement - 1) != statement) return "";
    if (program_.value(reads[0]).type.sizes == sizes) return "";
    return absl::StrCat("  # ", results.size() > 1 ? "each " : "", ShapeText(sizes));
  }

  Spelled Value(ValueId raw) {
    const ValueId id = flow_.Canonical(raw);
    if (const auto name = names_.find(id); name != names_.end())
      return {Expr{name->second, kAtom}, nullptr, nullptr};
    if (const auto text = rebound_.find(id); text != rebound_.end())
      return {Expr{text->second, kAtom}, nullptr, nullptr};
    if (const auto made = flow_.producer.find(id); made != flow_.producer.end())
      return StepText(made->second);
    if (const auto text = function_.attributes.find(id); text != function_.attributes.end()) {
      return {Expr{text->second, kAtom}, nullptr, nullptr};
    }
    const program::Value& value = program_.value(id);
    if (const std::optional<Expr> number = NumberLiteral(value)) return {*number, nullptr, nullptr};
    if (status_.ok()) {
      status_ = absl::InternalError(
          absl::StrCat("emit: value %", id, " of shape ", ShapeText(value.type.sizes),
                       " is read but neither passed in, held nor made; the plan's inputs miss it"));
    }
    return {Expr{"None", kAtom}, nullptr, nullptr};
  }

  SpellingContext Context() {
    SpellingContext context{program_, [this](ValueId id) { return Value(id); },
                            [this](const Call& call, const std::string& argument, size_t item,
                                   int64_t value) { return sizes_.Say(call, argument, item, value); },
                            Device()};
    return context;
  }

  std::string Device() const {
    for (const auto& [name, id] : function_.parameters) {
      if (id != kNoId) return name + ".device";
    }
    for (const auto& [id, text] : function_.attributes) {
      if (program_.value(id).kind == program::ValueKind::kParameter) return text + ".device";
    }
    return "";
  }

  Spelled StepText(size_t i) {
    const Step& step = flow_.steps[i];
    if (step.apply) return {Expr{ApplyText(*step.apply, i), kAtom}, nullptr, nullptr};
    const Call& call = program_.call(step.call);
    Spelled out = options_.aten.count(call.id) > 0 ? SpellAten(call, Context()) : Spell(call, Context());
    if (call.result_is_list || call.result_is_tuple) {
      const auto used = UsedResults(program_, flow_, i);
      if (used.size() == 1) {
        const auto made = Flow::Makes(program_, step);
        const auto at = std::find(made.begin(), made.end(), used[0]) - made.begin();
        out.expr = {absl::StrCat(Operand(out.expr, kAtom), "[", at, "]"), kAtom};
      }
    }
    return out;
  }

  std::string ApplyText(const Apply& apply, size_t step) {
    std::vector<std::string> args;
    for (const ValueId id : apply.inputs) args.push_back(id == kNoId ? "None" : Value(id).expr.text);
    if (!apply.arguments.empty()) {
      std::vector<std::string> filled;
      for (const std::string& argument : apply.arguments) filled.push_back(Filled(argument, args));
      args = std::move(filled);
    }
    return absl::StrCat(InLoop(apply, step) ? apply.element : apply.callee, "(", absl::StrJoin(args, ", "),
                        ")");
  }

  // `pattern` with texts[k] for each "$k", and a dollar for "$$".
  static std::string Filled(const std::string& pattern, const std::vector<std::string>& texts) {
    std::string out;
    for (size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] != '$') {
        out.push_back(pattern[i]);
      } else if (pattern[i + 1] == '$') {
        out.push_back(pattern[++i]);
      } else {
        size_t k = 0;
        while (absl::ascii_isdigit(pattern[i + 1])) k = k * 10 + static_cast<size_t>(pattern[++i] - '0');
        out += texts.at(k);
      }
    }
    return out;
  }

  bool InLoop(const Apply& apply, size_t step) const {
    return !apply.list.empty() && std::any_of(flow_.loops.begin(), flow_.loops.end(), [&](const Loop& loop) {
      return step >= loop.begin && step < loop.end;
    });
  }

  const program::Program& program_;
  const Function& function_;
  const ForwardOptions& options_;
  const Flow& flow_;
  SizeNames sizes_;
  Folding folding_;
  std::set<std::string> reserved_, parameter_names_;
  std::map<ValueId, size_t> last_use_;
  std::map<ValueId, ValueId> carried_from_;
  std::map<ValueId, std::string> names_, rebound_;
  std::map<std::string, std::vector<ValueId>> holders_;
  Lines lines_;
  bool in_loop_ = false;
  std::vector<size_t> too_wide_;
  absl::Status status_;
};

std::string Signature(const Function& function) {
  std::vector<std::string> names;
  if (function.is_method) names.push_back("self");
  for (const auto& parameter : function.parameters) names.push_back(parameter.first);
  return absl::StrCat("def ", function.name, "(", absl::StrJoin(names, ", "), "):");
}

absl::StatusOr<ForwardBody> Write(const program::Program& program, const Function& function,
                                  const ForwardOptions& options, bool with_return) {
  Flow flow = MakeFlow(program, function);
  flow.fold_all_returns = !with_return;
  std::set<size_t> keep;
  for (;;) {
    Attempt attempt(program, function, options, flow, keep);
    ForwardBody body = attempt.Run(with_return);
    if (!attempt.status().ok()) return attempt.status();
    if (attempt.too_wide().empty()) return body;
    keep.insert(attempt.too_wide().begin(), attempt.too_wide().end());
  }
}

}  // namespace

absl::StatusOr<ForwardBody> WriteBody(const program::Program& program, const Function& function,
                                      const ForwardOptions& options) {
  return Write(program, function, options, /*with_return=*/false);
}

absl::StatusOr<Lines> WriteForward(const program::Program& program, const Function& function,
                                   const ForwardOptions& options) {
  const absl::StatusOr<ForwardBody> body = Write(program, function, options, /*with_return=*/true);
  if (!body.ok()) return body.status();
  Lines lines = {Signature(function)};
  Append(lines, Indented(body->lines));
  return lines;
}

}  // namespace strata::emit

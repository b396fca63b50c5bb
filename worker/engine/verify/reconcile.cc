#include "worker/engine/verify/reconcile.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/places.h"

namespace strata::verify {
namespace {

using program::Argument;
using program::Call;
using program::NamedArgument;
using program::OpClass;
using program::Program;
using Kind = Argument::Kind;

// Where they are and how they run: no setting of what is computed.
bool SaysNothing(const std::string& name) {
  static const std::set<std::string> kNames = {"keepdim",       "layout",    "device",        "pin_memory",
                                               "memory_format", "generator", "cudnn_enabled", "non_blocking"};
  return kNames.contains(name);
}

bool IsDimension(const std::string& name) {
  static const std::set<std::string> kNames = {"dim", "dims", "dim0", "dim1", "start_dim", "end_dim", "axis"};
  return kNames.contains(name);
}

int64_t RankOfFirst(const Program& program, const Call& call) {
  for (const program::ValueId id : program::Reads(call)) {
    return static_cast<int64_t>(program.value(id).type.sizes.size());
  }
  return 0;
}

// The calls by which Python reads something that the inputs (or weights, or buffers) lead to, one for each
// value.
std::map<program::ValueId, const Call*> ReadsOfPython(const Program& program,
                                                      program::ValueKind kind = program::ValueKind::kInput) {
  std::vector<bool> is_data(program.values.size(), false);
  for (const program::Value& value : program.values) {
    is_data[static_cast<size_t>(value.id)] = value.kind == kind;
  }
  std::map<program::ValueId, const Call*> found;
  for (const Call& call : program.calls) {
    const std::vector<program::ValueId> reads = program::Reads(call);
    const auto data = std::find_if(reads.begin(), reads.end(), [&](program::ValueId id) {
      return id >= 0 && is_data[static_cast<size_t>(id)];
    });
    if (data == reads.end()) continue;
    if (IsReadByPython(program, call)) found.emplace(*data, &call);
    for (const std::vector<program::ValueId>& made : {call.results, call.mutated_to}) {
      for (const program::ValueId id : made) {
        if (id >= 0) is_data[static_cast<size_t>(id)] = true;
      }
    }
  }
  return found;
}

// The value that it is when data movement is left out.
program::ValueId Unmoved(const Program& program, program::ValueId id) {
  while (id >= 0 && program.value(id).producer != program::kNoId) {
    const Call& call = program.call(program.value(id).producer);
    if (program::Classify(program, call) != OpClass::kPlumbing) return id;
    const std::vector<program::ValueId> reads = program::Reads(call);
    id = reads.empty() ? program::kNoId : reads[0];
  }
  return id;
}

// What a value was computed by, data movement left out: "relu", "the input".
std::string MakerOf(const Program& program, program::ValueId id) {
  const program::ValueId value = Unmoved(program, id);
  if (value < 0) return "nothing";
  const program::CallId producer = program.value(value).producer;
  return producer == program::kNoId ? "an input" : program::OperatorName(program.call(producer).op);
}

// Of the tensors among the inputs, the positions of those that Python reads numbers of.
std::map<size_t, const Call*> InputsReadByPython(const Program& program) {
  const std::vector<program::ValueId> inputs = InputsOf(program);
  std::map<size_t, const Call*> found;
  for (const auto& [id, call] : ReadsOfPython(program)) {
    const auto at = std::find(inputs.begin(), inputs.end(), Unmoved(program, id));
    if (at != inputs.end()) found.emplace(at - inputs.begin(), call);
  }
  return found;
}

std::vector<std::pair<std::string, const Call*>> PlacesOfDropout(const Program& program) {
  std::vector<std::pair<std::string, const Call*>> places;
  for (const Call& call : program.calls) {
    const std::string op = program::OperatorName(call.op);
    const std::vector<program::ValueId> reads = program::Reads(call);
    if (!absl::EndsWith(op, "dropout") || reads.empty()) continue;
    places.emplace_back(absl::StrCat(op, " stands behind ", MakerOf(program, reads[0])), &call);
  }
  return places;
}

std::string Number(double value) { return absl::StrFormat("%.12g", value); }

template <typename T>
double As(const std::vector<uint8_t>& data) {
  T value;
  std::copy(data.begin(), data.begin() + sizeof(T), reinterpret_cast<uint8_t*>(&value));
  return static_cast<double>(value);
}

// A Python number that the dispatcher wrapped.
std::string WrappedNumber(const program::Value& value) {
  switch (value.type.dtype) {
    case program::DType::kFloat64:
      return value.data.size() == 8 ? Number(As<double>(value.data)) : "?";
    case program::DType::kFloat32:
      return value.data.size() == 4 ? Number(As<float>(value.data)) : "?";
    case program::DType::kInt64:
      return value.data.size() == 8 ? Number(As<int64_t>(value.data)) : "?";
    case program::DType::kBool:
      return value.data.size() == 1 ? Number(value.data[0]) : "?";
    default:
      return "?";
  }
}

std::string Text(const Program& program, const Argument& argument, bool dimension, int64_t rank) {
  switch (argument.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kValue: {
      const program::Value& value = program.value(argument.value);
      return value.is_wrapped_number ? WrappedNumber(value) : "tensor";
    }
    case Kind::kBool:
      return argument.boolean ? "True" : "False";
    case Kind::kInt:
      return Number(static_cast<double>(dimension && argument.integer >= 0 ? argument.integer - rank
                                                                           : argument.integer));
    case Kind::kDouble:
      return Number(argument.real);
    case Kind::kComplex:
      return absl::StrCat(Number(argument.real), "+", Number(argument.imag), "j");
    case Kind::kDType:
      return program::ShortName(argument.dtype);
    case Kind::kList: {
      std::vector<std::string> items;
      for (const Argument& item : argument.items) items.push_back(Text(program, item, dimension, rank));
      if (dimension) std::sort(items.begin(), items.end());
      return absl::StrCat("[", absl::StrJoin(items, ","), "]");
    }
    case Kind::kString:
    case Kind::kLayout:
    case Kind::kDevice:
    case Kind::kMemoryFormat:
    case Kind::kGenerator:
      break;
  }
  return argument.text;
}

// A pool whose stride is not said strides by its kernel.
bool IsStrideOfKernel(const Call& call, const NamedArgument& stride) {
  if (stride.name != "stride" || program::OperatorName(call.op).find("pool") == std::string::npos)
    return false;
  return std::any_of(call.args.begin(), call.args.end(), [&](const NamedArgument& argument) {
    return argument.name == "kernel_size" && argument.value == stride.value;
  });
}

int64_t Elements(const program::Value& value) {
  int64_t elements = 1;
  for (const int64_t size : value.type.sizes) elements *= size;
  return elements;
}

// On how much it runs: a row of many is another operator. Of a product of matrices what it costs: the same
// factors in another order are another operator.
std::string Work(const Program& program, const Call& call) {
  static const std::set<std::string> kNames = {"linear", "matmul",  "mm", "bmm",
                                               "addmm",  "baddbmm", "mv", "dot"};
  const std::vector<program::ValueId> reads = program::Reads(call);
  if (reads.empty() || call.results.empty() || call.results[0] < 0) return "";
  if (!kNames.contains(program::OperatorName(call.op))) {
    if (program::Classify(program, call) != OpClass::kCompute) return "";
    int64_t most = Elements(program.value(call.results[0]));
    for (const program::ValueId id : reads) most = std::max(most, Elements(program.value(id)));
    return absl::StrCat(" [", most, "]");
  }
  const std::vector<int64_t>& sizes = program.value(reads[0]).type.sizes;
  return absl::StrCat(" [", Elements(program.value(call.results[0])), " x ", sizes.empty() ? 1 : sizes.back(),
                      "]");
}

const Argument* Find(const Call& call, const std::string& name) {
  const auto found = std::find_if(call.args.begin(), call.args.end(),
                                  [&](const NamedArgument& argument) { return argument.name == name; });
  return found == call.args.end() ? nullptr : &found->value;
}

// padding="same" in numbers, where both sides get as much: dilation * (kernel - 1) / 2.
std::optional<std::string> SamePadding(const Program& program, const Call& call, const Argument& padding) {
  const std::vector<program::ValueId> reads = program::Reads(call);
  if (padding.kind != Kind::kString || padding.text != "same" || reads.size() < 2) return std::nullopt;
  const std::vector<int64_t>& weight = program.value(reads[1]).type.sizes;
  const Argument* dilation = Find(call, "dilation");
  std::vector<int64_t> sides;
  for (size_t i = 2; i < weight.size(); ++i) {
    int64_t step = 1;
    if (dilation != nullptr && dilation->kind == Kind::kInt) step = dilation->integer;
    if (dilation != nullptr && dilation->items.size() == weight.size() - 2)
      step = dilation->items[i - 2].integer;
    const int64_t all = step * (weight[i] - 1);
    if (all % 2 != 0) return std::nullopt;
    sides.push_back(all / 2);
  }
  return absl::StrCat("[", absl::StrJoin(sides, ","), "]");
}

// upsampling by whole factors, as the size that it gives.
std::optional<std::string> SizeOfFactors(const Program& program, const Call& call, const Argument& factors) {
  if (factors.items.empty() || call.results.size() != 1 || call.results[0] < 0) return std::nullopt;
  for (const Argument& factor : factors.items) {
    if (factor.kind != Kind::kDouble || factor.real != std::floor(factor.real)) return std::nullopt;
  }
  const std::vector<int64_t>& sizes = program.value(call.results[0]).type.sizes;
  if (sizes.size() < factors.items.size()) return std::nullopt;
  return absl::StrCat(
      "[", absl::StrJoin(sizes.end() - static_cast<std::ptrdiff_t>(factors.items.size()), sizes.end(), ","),
      "]");
}

// What two spellings of one setting have in common, as "name=value"; "" where it is what holds without it.
std::optional<std::string> Canonical(const Program& program, const Call& call,
                                     const NamedArgument& argument) {
  const Argument& value = argument.value;
  if (argument.name == "unbiased" && value.kind == Kind::kBool) return value.boolean ? "" : "correction=0";
  if (argument.name == "correction" && value.kind == Kind::kInt && value.integer == 1) return "";
  if (argument.name == "padding" && value.kind == Kind::kString) {
    if (value.text == "valid") return "";
    const auto sides = SamePadding(program, call, value);
    if (sides) return sides->find_first_not_of("[0,]") == std::string::npos ? "" : "padding=" + *sides;
  }
  if (argument.name == "scale" && value.kind == Kind::kDouble &&
      call.op == "aten::scaled_dot_product_attention") {
    const std::vector<int64_t>& query = program.value(program::Reads(call)[0]).type.sizes;
    const double scale = query.empty() ? 0 : 1 / std::sqrt(static_cast<double>(query.back()));
    if (std::abs(value.real - scale) < 1e-12) return "";
  }
  if (argument.name == "dim" && value.kind == Kind::kList && !value.items.empty() &&
      !program::Reads(call).empty()) {
    const auto rank = static_cast<size_t>(RankOfFirst(program, call));
    if (value.items.size() == rank && program::Classify(program, call) == OpClass::kCompute) return "";
  }
  if (argument.name == "scale_factors") {
    const auto size = SizeOfFactors(program, call, value);
    if (size) return "output_size=" + *size;
  }
  return std::nullopt;
}

std::string Settings(const Program& program, const Call& call) {
  const int64_t rank = RankOfFirst(program, call);
  std::vector<std::string> parts;
  for (const NamedArgument& argument : call.args) {
    if (argument.is_default || SaysNothing(argument.name)) continue;
    if (argument.value.kind == Kind::kNone || IsStrideOfKernel(call, argument)) continue;
    if (const auto canonical = Canonical(program, call, argument)) {
      if (!canonical->empty()) parts.push_back(*canonical);
      continue;
    }
    parts.push_back(
        absl::StrCat(argument.name, "=", Text(program, argument.value, IsDimension(argument.name), rank)));
  }
  std::vector<std::string> dtypes;
  for (const program::ValueId id : program::Reads(call)) {
    if (!program.value(id).is_wrapped_number)
      dtypes.emplace_back(program::ShortName(program.value(id).type.dtype));
  }
  std::vector<std::string> results;
  for (const program::ValueId id : call.results) {
    if (id >= 0) results.emplace_back(program::ShortName(program.value(id).type.dtype));
  }
  return absl::StrCat(absl::StrJoin(parts, ", "), " : ", absl::StrJoin(dtypes, " "), " -> ",
                      absl::StrJoin(results, " "), Work(program, call));
}

// Other names of one operator.
std::string PlainName(const std::string& op) {
  static const std::map<std::string, std::string> kNames = {{"multiply", "mul"},
                                                            {"divide", "div"},
                                                            {"true_divide", "div"},
                                                            {"subtract", "sub"},
                                                            {"negative", "neg"}};
  const std::string name = program::OperatorName(op);
  const auto found = kNames.find(name);
  return found == kNames.end() ? name : found->second;
}

std::string Key(const OperatorUse& use) { return use.name + "(" + use.settings + ")"; }

std::vector<OperatorUse> Beyond(const std::vector<OperatorUse>& uses, std::map<std::string, int64_t> others) {
  std::vector<OperatorUse> beyond;
  for (const OperatorUse& use : uses) {
    if (--others[Key(use)] < 0) beyond.push_back(use);
  }
  return beyond;
}

std::map<std::string, int64_t> Count(const std::vector<OperatorUse>& uses) {
  std::map<std::string, int64_t> counts;
  for (const OperatorUse& use : uses) counts[Key(use)]++;
  return counts;
}

std::string Names(const std::vector<OperatorUse>& uses) {
  std::map<std::string, int> counts;
  for (const OperatorUse& use : uses) counts[use.name]++;
  std::vector<std::string> names;
  for (const auto& [name, count] : counts)
    names.push_back(count == 1 ? name : absl::StrCat(name, " x", count));
  return absl::StrJoin(names, ", ");
}

}  // namespace

std::vector<OperatorUse> UsesOf(const Program& program) {
  std::vector<OperatorUse> uses;
  const std::vector<bool> live = LiveCalls(program);
  for (const Call& call : program.calls) {
    const OpClass op_class = program::Classify(program, call);
    if (!live[static_cast<size_t>(call.id)] || op_class == OpClass::kPlumbing) continue;
    uses.push_back({.name = PlainName(call.op),
                    .settings = Settings(program, call),
                    .call = call.id,
                    .arithmetic = op_class == OpClass::kArithmetic});
  }
  return uses;
}

Surplus Reconcile(const Program& original, const Program& refactored) {
  const std::vector<OperatorUse> ours = UsesOf(original), theirs = UsesOf(refactored);
  return {Beyond(ours, Count(theirs)), Beyond(theirs, Count(ours))};
}

Violation Missing(const Program& original, const OperatorUse& use) {
  return {rules::kOperators, "refactored.py", 0,
          absl::StrCat(Key(use), " of ", FileOf(original, original.call(use.call)), ":",
                       LineOf(original, original.call(use.call)), " is executed nowhere"),
          "every operator that the original executes belongs in a child, once"};
}

Violation Invented(const Program& refactored, const OperatorUse& use) {
  const Call& call = refactored.call(use.call);
  return {rules::kOperators, FileOf(refactored, call), LineOf(refactored, call),
          absl::StrCat(Key(use), " is executed here and not in the original"), "take it out"};
}

std::vector<Violation> SurplusViolations(const Program& original, const Program& refactored,
                                         const Surplus& surplus) {
  std::vector<Violation> violations;
  for (const OperatorUse& use : surplus.refactored) {
    // Sums and products may be many where another spelling has few; as many on both sides are the same ones.
    const auto as_many = [&] {
      const auto named = [&](const OperatorUse& o) { return o.name == use.name; };
      return std::count_if(surplus.original.begin(), surplus.original.end(), named) ==
             std::count_if(surplus.refactored.begin(), surplus.refactored.end(), named);
    };
    const auto same = std::find_if(
        surplus.original.begin(), surplus.original.end(),
        [&](const OperatorUse& o) { return o.name == use.name && (!o.arithmetic || as_many()); });
    if (same == surplus.original.end()) continue;
    const Call& call = refactored.call(use.call);
    violations.push_back({rules::kOperators, FileOf(refactored, call), LineOf(refactored, call),
                          absl::StrCat(Key(use), " where the original executes ", Key(*same)),
                          "give it the settings of the original"});
  }
  if (surplus.refactored.empty()) {
    for (const OperatorUse& use : surplus.original) violations.push_back(Missing(original, use));
  }
  if (surplus.original.empty()) {
    for (const OperatorUse& use : surplus.refactored) violations.push_back(Invented(refactored, use));
  }
  return violations;
}

std::vector<Violation> UnusedViolations(const Program& original, const Program& refactored) {
  std::map<std::string, int> left;
  for (const Call& call : original.calls) ++left[PlainName(call.op)];
  const std::vector<bool> live = LiveCalls(refactored);
  const auto is_live = [&](const Call& call) { return live[static_cast<size_t>(call.id)]; };
  for (const Call& call : refactored.calls) {
    if (is_live(call)) --left[PlainName(call.op)];
  }
  std::vector<Violation> violations;
  for (const Call& call : refactored.calls) {
    if (is_live(call) || program::Classify(refactored, call) != OpClass::kCompute) continue;
    if (--left[PlainName(call.op)] >= 0) continue;
    violations.push_back(
        {rules::kOperators, FileOf(refactored, call), LineOf(refactored, call),
         absl::StrCat(PlainName(call.op),
                      " is executed here and not in the original, and nothing uses its result"),
         "take it out"});
  }
  return violations;
}

std::vector<Violation> ReadViolations(const Program& original, const Program& refactored) {
  std::vector<Violation> violations;
  const auto add = [&](const Program& program, const Call& call, std::string what, const char* advice) {
    const bool here = &program == &refactored;
    violations.push_back({rules::kOperators, here ? FileOf(program, call) : "refactored.py",
                          here ? LineOf(program, call) : 0, std::move(what), advice});
  };
  for (const auto& [kind, name] :
       {std::pair(program::ValueKind::kInput, "data"), std::pair(program::ValueKind::kParameter, "weights"),
        std::pair(program::ValueKind::kBuffer, "buffers")}) {
    const auto ours = ReadsOfPython(original, kind), theirs = ReadsOfPython(refactored, kind);
    if (theirs.size() <= ours.size()) continue;
    add(refactored, *theirs.begin()->second,
        absl::StrCat("Python reads ", theirs.size(), " numbers of the ", name, ", in the original ",
                     ours.size()),
        "compute on tensors, as the original does");
  }
  const auto place = [&](const Call& call) {
    return absl::StrCat(FileOf(original, call), ":", LineOf(original, call));
  };
  const auto ours = ReadsOfPython(original), theirs = ReadsOfPython(refactored);
  const char* const advice = "keep the branches of the original, reading a number for them is plumbing";
  if (theirs.empty() && !ours.empty()) {
    const Call& first = *ours.begin()->second;
    add(original, first,
        absl::StrCat("Python reads no number of the data, where the original reads one at ", place(first)),
        advice);
    return violations;
  }
  const auto read_here = InputsReadByPython(refactored);
  for (const auto& [index, call] : InputsReadByPython(original)) {
    if (read_here.contains(index)) continue;
    add(original, *call,
        absl::StrCat("Python reads no number of input ", index, ", where the original reads one at ",
                     place(*call)),
        advice);
  }
  return violations;
}

std::vector<Violation> PlaceViolations(const Program& original, const Program& refactored) {
  std::multiset<std::string> places;
  for (const auto& [place, call] : PlacesOfDropout(original)) places.insert(place);
  for (const auto& [place, call] : PlacesOfDropout(refactored)) {
    const auto found = places.find(place);
    if (found != places.end()) {
      places.erase(found);
      continue;
    }
    if (places.empty()) return {};  // there are more of them, which is told elsewhere
    return {{rules::kOperators, FileOf(refactored, *call), LineOf(refactored, *call),
             absl::StrCat(place, "; in the original ", *places.begin()), "call it where the original does"}};
  }
  return {};
}

std::string SpellingNote(const Surplus& surplus) {
  return absl::StrCat("another spelling: ", Names(surplus.original), " of the original is ",
                      Names(surplus.refactored), " here; the numbers agree on the judge's inputs too");
}

}  // namespace strata::verify

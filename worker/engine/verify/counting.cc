#include "worker/engine/verify/counting.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "worker/engine/program/plumbing.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;
using program::Call;
using program::OpClass;
using program::Program;
using program::Tree;
using program::ValueId;
using Counts = std::map<std::string, int64_t>;

// What later code can still see, while calls are walked backward.
class LiveSet {
 public:
  explicit LiveSet(const Program& program) : program_(program), values_(program.values.size(), false) {
    for (const program::Value& value : program.values) {
      // A write to what outlives the forward is seen by its caller.
      if (value.kind != program::ValueKind::kResult && value.kind != program::ValueKind::kConstant) {
        storages_.insert(value.storage);
      }
    }
  }

  void Add(ValueId id) {
    if (id < 0) return;
    values_[static_cast<size_t>(id)] = true;
    storages_.insert(program_.value(id).storage);
  }

  bool Needs(const Call& call) const {
    if (call.results.empty() || (call.marks & program::kDataDependent) != 0) return true;
    const auto live = [&](ValueId id) { return id >= 0 && values_[static_cast<size_t>(id)]; };
    if (std::any_of(call.results.begin(), call.results.end(), live)) return true;
    if (std::any_of(call.mutated_to.begin(), call.mutated_to.end(), live)) return true;
    return std::any_of(call.mutated.begin(), call.mutated.end(),
                       [&](ValueId id) { return id >= 0 && storages_.contains(program_.value(id).storage); });
  }

 private:
  const Program& program_;
  std::vector<bool> values_;
  std::set<int32_t> storages_;
};

std::vector<std::pair<std::string, int64_t>> Sorted(const Counts& counts) {
  return {counts.begin(), counts.end()};
}

Counts AsMap(const std::vector<std::pair<std::string, int64_t>>& counts) {
  return {counts.begin(), counts.end()};
}

int64_t Get(const Counts& counts, const std::string& name) {
  const auto it = counts.find(name);
  return it == counts.end() ? 0 : it->second;
}

double Percent(int64_t part, int64_t whole) {
  if (whole == 0) return 100.0;
  return std::floor(1000.0 * static_cast<double>(part) / static_cast<double>(whole)) / 10.0;
}

const char* DetailStatus(int64_t original, int64_t decomposed) {
  if (decomposed > original) return "extra";
  if (decomposed == original) return "covered";
  return decomposed == 0 ? "missing" : "partial";
}

const char* CoverageStatus(int64_t original, int64_t covered, bool exact) {
  if (exact) return "FULL_COVERAGE";
  return covered * 10 < original * 8 ? "LOW_COVERAGE" : "PARTIAL_COVERAGE";
}

// What the original executed against what the files did, the parent's arithmetic taken off. Where the
// parent does more of it than the original did, the surplus shows as extra.
struct Sides {
  Counts original, decomposed;
};

Sides Reconcile(const CoverageInput& input) {
  Sides sides{AsMap(input.original.counted), {}};
  for (const CoveringFile& file : input.files) {
    for (const auto& [name, count] : file.executed) sides.decomposed[name] += count;
  }
  for (const auto& [name, count] : input.parent_arithmetic) {
    int64_t& original = sides.original[name];
    original -= count;
    if (original < 0) {
      sides.decomposed[name] -= original;
      original = 0;
    }
  }
  return sides;
}

ordered_json KernelsJson(const std::vector<CoveringFile>& files) {
  ordered_json kernels = ordered_json::array();
  for (const CoveringFile& file : files) {
    ordered_json types = ordered_json::array();
    for (const auto& [name, count] : file.executed) {
      if (count > 0) types.push_back(name);
    }
    kernels.push_back({{"file", file.path}, {"op_types", types}, {"instance_count", file.runs}});
  }
  return kernels;
}

ordered_json PlumbingJson(const CoverageInput& input) {
  Counts all = AsMap(input.original.plumbing);
  for (const auto& [name, count] : input.parent_arithmetic) all[name] += count;
  ordered_json plumbing = ordered_json::object();
  for (const auto& [name, count] : all) plumbing[name] = count;
  return plumbing;
}

int64_t UniqueTypes(const Counts& counts) {
  return std::count_if(counts.begin(), counts.end(), [](const auto& entry) { return entry.second > 0; });
}

ordered_json OpDetail(const std::string& name, int64_t original, int64_t decomposed,
                      const std::vector<CoveringFile>& files) {
  ordered_json holders = ordered_json::array();
  for (const CoveringFile& file : files) {
    if (Get(file.executed, name) > 0) holders.push_back(file.path);
  }
  return {{"op_type", name},
          {"original_count", original},
          {"decomposed_count", decomposed},
          {"status", DetailStatus(original, decomposed)},
          {"kernel_files", holders}};
}

}  // namespace

bool IsReadByPython(const Program& program, const Call& call) {
  // tolist() takes all elements from memory; what is seen of it is that it resolves them first.
  if (call.op == "aten::resolve_neg") return program::Classify(program, call) == OpClass::kPlumbing;
  const bool gives_number = (call.marks & program::kDataDependent) != 0 || call.op == "aten::is_nonzero";
  return gives_number && call.results.empty();
}

std::vector<bool> LiveCalls(const Program& program) {
  std::vector<bool> live(program.calls.size(), false);
  LiveSet set(program);
  if (!program.invocations.empty()) {
    for (const ValueId id : program::Tensors(program.invocations[0].output)) set.Add(id);
  }
  for (size_t i = program.calls.size(); i-- > 0;) {
    const Call& call = program.calls[i];
    if (!set.Needs(call)) continue;
    live[i] = true;
    for (const ValueId id : program::Reads(call)) set.Add(id);
  }
  return live;
}

OperatorCounts CountOperators(const Program& program) {
  Counts counted, plumbing;
  const std::vector<bool> live = LiveCalls(program);
  for (const Call& call : program.calls) {
    const bool counts =
        live[static_cast<size_t>(call.id)] && program::Classify(program, call) != OpClass::kPlumbing;
    (counts ? counted : plumbing)[program::OperatorName(call.op)]++;
  }
  return {Sorted(counted), Sorted(plumbing)};
}

std::map<std::string, int64_t> ArithmeticOutside(const Program& program,
                                                 const std::function<bool(program::InvocationId)>& inside) {
  Counts counts;
  const std::vector<bool> live = LiveCalls(program);
  for (const Call& call : program.calls) {
    if (!live[static_cast<size_t>(call.id)] || inside(call.scope)) continue;
    if (program::Classify(program, call) == OpClass::kArithmetic) counts[program::OperatorName(call.op)]++;
  }
  return counts;
}

ordered_json CoverageJson(const CoverageInput& input, bool summary) {
  const Sides sides = Reconcile(input);
  std::set<std::string> names;
  for (const auto& [name, count] : sides.original) names.insert(name);
  for (const auto& [name, count] : sides.decomposed) names.insert(name);

  int64_t total_original = 0, total_decomposed = 0, covered = 0;
  ordered_json missing = ordered_json::array(), extra = ordered_json::array(),
               details = ordered_json::array();
  for (const std::string& name : names) {
    const int64_t original = Get(sides.original, name), decomposed = Get(sides.decomposed, name);
    if (original == 0 && decomposed == 0) continue;
    total_original += original;
    total_decomposed += decomposed;
    covered += std::min(original, decomposed);
    if (original > decomposed) missing.push_back(name);
    if (decomposed > original) extra.push_back(name);
    details.push_back(OpDetail(name, original, decomposed, input.files));
  }

  ordered_json json = {{"timestamp", input.timestamp},
                       {"model_file", input.model_file},
                       {"status", CoverageStatus(total_original, covered, missing.empty() && extra.empty())},
                       {"extraction_method", "dispatcher_trace"}};
  json["coverage"] = {{"total_original_ops", total_original},
                      {"total_decomposed_ops", total_decomposed},
                      {"covered_op_count", covered},
                      {"coverage_pct", Percent(covered, total_original)},
                      {"missing_op_types", missing},
                      {"extra_op_types", extra},
                      {"op_details", details}};
  if (summary) {
    json["unique_op_types_original"] = UniqueTypes(sides.original);
    json["unique_op_types_kernels"] = UniqueTypes(sides.decomposed);
    json["kernels"] = KernelsJson(input.files);
  }
  json["plumbing"] = PlumbingJson(input);
  return json;
}

bool IsFullCoverage(const ordered_json& coverage) { return coverage.value("status", "") == "FULL_COVERAGE"; }

}  // namespace strata::verify

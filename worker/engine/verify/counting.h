#pragma once
// The counting rule (docs/plumbing.md: what is counted, what only listed) and the coverage JSON built from
// it. Pure.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "worker/engine/program/program.h"

namespace strata::verify {

// How often each operator ran. Names without overload; an in-place form is the operator itself.
struct OperatorCounts {
  std::vector<std::pair<std::string, int64_t>> counted;   // name -> executions, sorted by name
  std::vector<std::pair<std::string, int64_t>> plumbing;  // listed, never counted
};
OperatorCounts CountOperators(const program::Program& program);

// Arithmetic that `program` executes outside the invocations for which `inside` is true (a parent's own:
// residual adds, scaling), dead results left out.
std::map<std::string, int64_t> ArithmeticOutside(const program::Program& program,
                                                 const std::function<bool(program::InvocationId)>& inside);

// live[i]: something reads a result of calls[i], directly or over live calls: the output of the forward,
// Python, or a write that one of them sees.
std::vector<bool> LiveCalls(const program::Program& program);

// Python gets numbers of what the call reads: item(), tolist(), a branch.
bool IsReadByPython(const program::Program& program, const program::Call& call);

// One file that stands for a part of the original: what it executed over all its runs.
struct CoveringFile {
  std::string path;  // relative to the bundle
  std::map<std::string, int64_t> executed;
  int64_t runs = 0;
};

struct CoverageInput {
  std::string timestamp;
  std::string model_file;
  OperatorCounts original;
  std::map<std::string, int64_t> parent_arithmetic;
  std::vector<CoveringFile> files;
};
// The fields of coverage_report.json; a summary has `kernels` and the unique_op_types besides.
nlohmann::ordered_json CoverageJson(const CoverageInput& input, bool summary);
// Nothing missing and nothing extra.
bool IsFullCoverage(const nlohmann::ordered_json& coverage);

}  // namespace strata::verify

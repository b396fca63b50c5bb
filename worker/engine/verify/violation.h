#pragma once
// What is wrong with a decomposition, as a verdict lists it. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

namespace strata::verify {

// The rules, as docs/judge.md explains them. Those of one step first, then those of a bundle as a whole.
namespace rules {
inline constexpr char kRuns[] = "runs";          // the refactored model raises where the original does not
inline constexpr char kProcess[] = "process";    // a model ends or leaves its process
inline constexpr char kSource[] = "source";      // the text of refactored.py or of a child
inline constexpr char kPlumbing[] = "plumbing";  // a compute operator outside the children
inline constexpr char kModules[] = "modules";    // a module that no child file defines
inline constexpr char kParameters[] = "parameters";  // a parameter outside the children
inline constexpr char kBuffers[] = "buffers";      // a buffer outside the children that is not the original's
inline constexpr char kWeights[] = "weights";      // weight_map.json, a weight without a value, a tie
inline constexpr char kNumbers[] = "numbers";      // outputs differ
inline constexpr char kOutputs[] = "outputs";      // structure, dtype or shape of an output
inline constexpr char kInputs[] = "inputs";        // inputs are not changed as the original changes them
inline constexpr char kReplay[] = "replay";        // a recording, or a child alone, gives other bits
inline constexpr char kOperators[] = "operators";  // one missing, invented or with other settings
inline constexpr char kMatters[] = "matters";      // a child whose result changes nothing
inline constexpr char kLayout[] = "layout";        // files and JSON fields that must exist
inline constexpr char kChain[] = "chain";          // original.py and children/ back to source/
inline constexpr char kLevels[] = "levels";        // a child's level is below its parent's
inline constexpr char kKernel[] = "kernel";        // definition of a kernel: one meaning
inline constexpr char kFusion[] = "fusion";        // definition of a fusion
inline constexpr char kLayer[] = "layer";          // definition of a layer
inline constexpr char kNames[] = "names";          // a name tells what was executed
inline constexpr char kDuplicates[] = "duplicates";  // one identity, one file
inline constexpr char kDimensions[] = "dimensions";  // exact dimensions
inline constexpr char kAlone[] = "alone";            // a file runs alone
inline constexpr char kComposition[] = "composition";
inline constexpr char kCoverage[] = "coverage";
inline constexpr char kTies[] = "ties";        // weights that are one in the original
inline constexpr char kResults[] = "results";  // a JSON file says other than what was recomputed
}  // namespace rules

struct Violation {
  std::string rule;    // one of rules::
  std::string file;    // relative to the judged folder, "" where no file is to blame
  int line = 0;        // 0 where none
  std::string what;    // what is wrong, with names and numbers
  std::string advice;  // what to do
};

// {rule, file, line, what, advice}
nlohmann::ordered_json ToJson(const Violation& violation);
nlohmann::ordered_json ToJson(const std::vector<Violation>& violations);

}  // namespace strata::verify

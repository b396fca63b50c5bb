#pragma once
// How sibling parts are wired: what they pass to each other, where a straight line runs and what cuts it,
// where branches join.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "worker/engine/plan/parts.h"

namespace strata::plan {

// What a kernel part is to a fusion.
struct Traits {
  bool contraction = false;
  bool projection = false;  // a contraction that holds its weight
  bool linear = false;      // a projection by linear or by a matrix product with a weight
  bool mixing = false;      // a contraction of two results
  bool attention = false;   // an attention operator
  bool pool = false, dropout = false, activation = false, softmax = false, norm = false;
};
Traits TraitsOf(const PartContext& context, const Part& part);

struct Join {
  size_t part = 0;        // the call that joins
  bool residual = false;  // else branches rejoined
  std::string text;       // "model.py:57 adds x to the result of blocks.0.attn"
};

class Wiring {
 public:
  Wiring(const PartContext& context, const std::vector<Part>& parts);

  const PartContext& context() const { return context_; }
  const std::vector<Part>& parts() const { return parts_; }
  const Part& part(size_t i) const { return parts_[i]; }
  size_t size() const { return parts_.size(); }
  const Traits& traits(size_t i) const { return traits_[i]; }

  // Tensors that cross its border, wrapped numbers and its own weights left out; each once, in order.
  const std::vector<program::ValueId>& reads(size_t i) const { return reads_[i]; }
  const std::vector<program::ValueId>& makes(size_t i) const { return makes_[i]; }  // that anyone else reads
  int producer(program::ValueId value) const;  // -1: it comes from outside
  const std::vector<size_t>& readers(program::ValueId value) const;
  bool escapes(program::ValueId value) const;  // is read outside of these parts, or leaves the model
  // A path leads from i to j.
  bool reaches(size_t i, size_t j) const { return reach_[i][j]; }
  // Fed by something that depends on the model's inputs.
  bool is_dependent(program::ValueId value) const { return !context_.flow.independent_value(value); }

  // The unit that alone continues after unit i, with the plumbing between them.
  struct Step {
    size_t next = 0;
    std::vector<size_t> between;
  };
  // nullopt where the line ends; `*cut` then says why, as a clause about this model.
  std::optional<Step> Straight(size_t i, std::string* cut = nullptr) const;
  // Back through data movement and arithmetic with numbers to the part that made it; -1 outside.
  int Root(program::ValueId value) const;
  // An outside tensor that this part alone reads: an operand from elsewhere, no branch of what runs here.
  bool IsSideInput(program::ValueId value, size_t reader) const;
  // The tensor at the far end of data movement and arithmetic with numbers.
  program::ValueId Origin(program::ValueId value) const;
  // The parts between the members (reached from one, reaching one) join the set. False where one of them is
  // a settled component and `components` does not allow that (a fusion holds kernels only).
  bool Close(std::vector<size_t>* members, bool components = false) const;

  // Residual adds and rejoined branches among the plumbing.
  std::vector<Join> Joins() const;

  // How a sentence calls the part: "blocks.0.attn", "the add at model.py:57", "softmax".
  std::string Describe(size_t i) const;
  std::string DescribeSource(program::ValueId value) const;  // the part that made it, or the argument's name

 private:
  void Connect();
  std::vector<program::ValueId> Operands(size_t i) const;  // of a call, dependent on the input
  std::optional<Join> JoinAt(size_t i) const;
  bool IsUnrelated(program::ValueId value, program::ValueId other) const;

  const PartContext& context_;
  const std::vector<Part>& parts_;
  std::vector<Traits> traits_;
  std::vector<std::vector<program::ValueId>> reads_, makes_;
  std::map<program::ValueId, size_t> producer_;
  std::map<program::ValueId, std::vector<size_t>> readers_;
  std::map<program::ValueId, bool> escapes_;
  std::vector<std::vector<bool>> reach_;
};

}  // namespace strata::plan

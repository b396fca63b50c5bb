#pragma once
// The attributes of one class about to be written: submodules, parameters, buffers.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "worker/engine/emit/class_builder.h"
#include "worker/engine/emit/leaf.h"
#include "worker/engine/program/program.h"

namespace strata::emit {

struct Member {
  enum class Kind : uint8_t { kModule, kSequential, kParameter, kBuffer };
  Kind kind = Kind::kModule;
  std::string base;               // wanted attribute name
  std::string name;               // chosen: "attn", "blocks.2" for an element of a list
  Constructor constructor;        // kModule
  std::vector<Member> elements;   // kSequential
  std::vector<StateEntry> state;  // keys relative to the member
  program::ModuleId module = program::kNoId;
  program::ValueId value = program::kNoId;  // kParameter, kBuffer
  std::string list;                         // ModuleList it is an element of, "" for none
  int64_t index = 0;
};

// Chooses the members' final names: distinct identifiers, lists kept where all their elements are there.
// `list_sizes`: how many elements each list of the source has.
void NameMembers(std::vector<Member>& members, const std::map<std::string, int64_t>& list_sizes);

// "self.attn", "self.blocks[2]".
std::string AttributeText(const Member& member);

// The statements of __init__ that make them, in order, and the dimensions they need.
struct InitText {
  Lines lines;
  std::vector<Dimension> dimensions;
  bool packed = false;
  std::vector<std::string> packed_notes;
};
// Buffers in `literal` are said by their elements.
absl::StatusOr<InitText> WriteInit(const program::Program& program, const std::vector<Member>& members,
                                   const std::set<program::ValueId>& literal);

}  // namespace strata::emit

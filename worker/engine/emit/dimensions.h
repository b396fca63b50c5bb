#pragma once
// The parameters of a class's __init__: which of the numbers in its constructors are dimensions of the
// workload, and what they are called.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "worker/engine/emit/leaf.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {

struct Dimension {
  std::string name;
  std::string value;        // Python literal, the default
  bool is_setting = false;  // a number that is no size: eps, num_heads
};

class Dimensions {
 public:
  // Names the dimensions among the arguments of all constructors of one class, which stand in the order in
  // which they run and outlive this.
  explicit Dimensions(const std::vector<const Constructor*>& constructors);

  // "nn.Linear(dim, 4 * dim, bias=False)". Rendered with the names of this class.
  std::string Text(const Constructor& constructor) const;
  // A dimension that is no constructor argument, e.g. the length of an nn.Parameter.
  std::string Text(const std::string& name, const std::string& value) const;

  const std::vector<Dimension>& list() const { return list_; }

 private:
  bool NameBySetting(const std::vector<const Constructor*>& constructors);
  void NameByValue(const std::vector<const Constructor*>& constructors);
  std::string NameFor(const std::string& value) const;
  void Choose(const std::string& setting, const std::string& value);
  std::string FirstName(const std::string& setting, const std::string& value) const;
  bool IsInput(const std::string& value) const;

  std::vector<std::pair<std::string, std::string>> requests_;  // setting, value
  std::vector<Dimension> list_;
  std::vector<std::pair<std::string, std::string>> multiples_;    // value -> "3 * dim"
  std::map<const ConstructorArgument*, std::string> by_setting_;  // one constructor: its own parameter names
  NameScope names_;
};

}  // namespace strata::emit

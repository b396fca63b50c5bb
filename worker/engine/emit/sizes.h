#pragma once
// Says sizes as the source would: `B, T, C = x.shape`, then B, T and C in view(), slices and factories.

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "worker/engine/emit/function.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {

class SizeNames {
 public:
  SizeNames(const program::Program& program, const Function& function);

  // Text for `value`, which stands as item `item` of `argument` in `call`; "" for the plain number.
  // Remembers which dimensions were used.
  std::string Say(const program::Call& call, const std::string& argument, size_t item, int64_t value);
  // The lines that unpack the dimensions used so far.
  Lines Header() const;
  // Every name that Header() may define.
  std::set<std::string> Reserved() const;

 private:
  struct Dimension {
    size_t parameter;  // index into function_.parameters
    size_t dim;
    bool operator<(const Dimension& o) const {
      return std::tie(parameter, dim) < std::tie(o.parameter, o.dim);
    }
  };
  const std::vector<int64_t>* SizesOf(size_t parameter) const;
  std::string NameOf(const Dimension& dimension) const;
  bool HoldsInTwins(const program::Call& call, const std::string& argument, size_t item,
                    const Dimension& d) const;
  bool VariesInTwins(const program::Call& call, const std::string& argument, size_t item,
                     int64_t value) const;
  bool WantsName(const program::Call& call, const std::string& argument, size_t item, int64_t value) const;
  std::string Use(const Dimension& dimension);

  const program::Program& program_;
  const Function& function_;
  size_t main_parameter_ = 0;  // whose dimensions have letters
  std::vector<std::string> letters_;
  std::set<Dimension> used_;
};

}  // namespace strata::emit

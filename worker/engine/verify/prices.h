#pragma once
// What a verdict costs, by rule: CPU seconds of this process and of all runners that it has waited for.
//
// Threading: one thread, as the zygote.

#include <map>
#include <string>

#include "nlohmann/json.hpp"

namespace strata::verify {

class Prices {
 public:
  Prices();

  // From here to the end of the scope the seconds go to `rule`; what encloses it goes on after it.
  class Scope {
   public:
    Scope(Prices* prices, const char* rule);  // null: nobody counts
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Prices* const prices_;
    std::string enclosing_;
  };

  // {rule: CPU seconds}, user and system, rounded to milliseconds; the sum is all since this object was made.
  nlohmann::ordered_json ToJson();

 private:
  void Charge();  // what was used since the last call, to `current_`

  std::map<std::string, double> seconds_;
  std::string current_;
  double counted_;  // CPU seconds that are in `seconds_` already
};

}  // namespace strata::verify

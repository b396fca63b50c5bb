#pragma once
// What this process has found out about component files that ran alone: a relu that seventeen steps share is
// run once. A component file is self-contained, so its bytes, the device, the numeric setting and the limits
// say all that its run depends on. Only what went well is kept.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace strata::verify {

struct Context;

// What one forward of a component executed.
struct Executed {
  std::string shapes;                                    // of its arguments, see ArgumentShapes
  std::vector<std::pair<std::string, int64_t>> counted;  // operator -> executions
};

// One thread. Forgets everything when it holds more than kMaxBytes of keys.
class Findings {
 public:
  static constexpr size_t kMaxBytes = size_t{64} << 20;

  // What a file's run depends on, as one string; "" where the file cannot be read.
  static std::string Key(const Context& context, const std::string& file);

  const Executed* FindExecuted(const std::string& key, int workload) const;
  void NoteExecuted(const std::string& key, int workload, Executed executed);
  bool Passed(const std::string& key) const;
  void NotePassed(const std::string& key);

 private:
  struct File {
    bool passed = false;
    std::map<int, Executed> executed;
  };
  File* Of(const std::string& key);

  std::map<std::string, File> files_;
  size_t bytes_ = 0;
};

}  // namespace strata::verify

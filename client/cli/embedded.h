#pragma once
// A coordinator and a worker of one's own: strata-server and strata-worker, found beside this program, on a
// Unix socket in a private folder. They end with this object, at the latest with this process; a folder that
// a killed process left is removed by the next one.

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/files.h"
#include "base/subprocess.h"

namespace strata::cli {

struct EmbeddedOptions {
  std::string device = "auto";
  int slots = 0;         // 0: by the machine's cores
  bool verbose = false;  // their logs go to stderr instead of being kept for the case of failure
};

class EmbeddedService {
 public:
  // Returns when both processes run; the server may not answer yet. Call on a thread that outlives it.
  static absl::StatusOr<std::unique_ptr<EmbeddedService>> Start(const EmbeddedOptions& options);
  // Ends the worker, then the server; removes the folder.
  ~EmbeddedService();

  std::string address() const;

  // Unavailable, with the last lines of its log, if one of the two has ended.
  absl::Status Health();

 private:
  // A process whose stderr is drained and its end kept.
  class Daemon;

  // Says that a folder is in use, for as long as this process lives.
  class Lock;

  EmbeddedService(TempDir folder, std::unique_ptr<Lock> lock);

  std::unique_ptr<Lock> lock_;
  TempDir folder_;
  std::unique_ptr<Daemon> server_;
  std::unique_ptr<Daemon> worker_;
};

}  // namespace strata::cli

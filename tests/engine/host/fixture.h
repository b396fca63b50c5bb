#pragma once
// One zygote for all tests of the room, and a folder per test.

#include <gtest/gtest.h>

#include <string>

#include "base/files.h"
#include "worker/engine/host/zygote.h"

namespace strata::host {

class HostTest : public ::testing::Test {
 protected:
  HostTest();

  static Zygote& zygote();
  static bool HasDevice();  // an accelerator

  // Writes `text` as NAME into the test's folder; returns the absolute path.
  std::string File(const std::string& name, const std::string& text);
  // A request for one trial of `file` with small limits, into a fresh folder of its own.
  RunRequest Request(const std::string& file);
  RunOutcome Run(const RunRequest& request) { return zygote().Run(request, limits_); }
  RunOutcome RunText(const std::string& text) { return Run(Request(File("model.py", text))); }

  const std::string& dir() const { return dir_.path(); }

  Limits limits_;

 private:
  TempDir dir_;
  int runs_ = 0;
};

// A model file whose forward is `body` (indented by 8).
std::string ModelWithForward(const std::string& body);

}  // namespace strata::host

#include "tests/engine/host/fixture.h"

#include <cstdio>
#include <cstdlib>

namespace strata::host {
namespace {

std::unique_ptr<Zygote> the_zygote;

// Before gtest starts a thread or a test does.
class StartZygote : public ::testing::Environment {
 public:
  void SetUp() override {
    auto zygote = Zygote::Start({.python = STRATA_PYTHON});
    if (!zygote.ok()) {
      fprintf(stderr, "%s\n", zygote.status().ToString().c_str());
      exit(1);
    }
    the_zygote = *std::move(zygote);
  }
  void TearDown() override { the_zygote.reset(); }
};

const auto* const kRegistered = ::testing::AddGlobalTestEnvironment(new StartZygote);

TempDir MakeDir() {
  auto dir = TempDir::Create("host_test_");
  if (!dir.ok()) abort();
  return *std::move(dir);
}

}  // namespace

HostTest::HostTest() : dir_(MakeDir()) {
  limits_.wall = std::chrono::seconds(60);
  limits_.memory_bytes = int64_t{2} << 30;
}

Zygote& HostTest::zygote() { return *the_zygote; }

bool HostTest::HasDevice() {
  for (const auto& [key, value] : zygote().Environment()) {
    if (key == "devices") return value != "0";
  }
  return false;
}

std::string HostTest::File(const std::string& name, const std::string& text) {
  const std::string path = JoinPath(dir(), name);
  EXPECT_TRUE(MakeDirs(DirName(path)).ok());
  EXPECT_TRUE(WriteFile(path, text).ok());
  return path;
}

RunRequest HostTest::Request(const std::string& file) {
  RunRequest request;
  request.file = file;
  request.trials = {Trial{}};
  request.out_dir = JoinPath(dir(), "out" + std::to_string(runs_++));
  return request;
}

std::string ModelWithForward(const std::string& body) {
  return R"(import os, sys
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        )" +
         body + R"(


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return []
)";
}

}  // namespace strata::host

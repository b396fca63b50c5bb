// capture_dump FILE [OUT.bin]: captures a model file, prints its Program, replays it; optionally writes
// Encode(). Exit code 3: the replay differs.
#include <fstream>
#include <iostream>

#include "tests/engine/capture/interpreter.h"
#include "worker/engine/program/codec.h"
#include "worker/engine/program/printer.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: capture_dump FILE [OUT.bin]\n";
    return 2;
  }
  const auto program = strata::capture::CaptureFile(argv[1]);
  if (!program.ok()) {
    std::cerr << program.status() << "\n";
    return 1;
  }
  std::cout << strata::program::Print(*program);
  if (argc > 2) {
    std::ofstream out(argv[2], std::ios::binary);
    const std::string bytes = strata::program::Encode(*program);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  const absl::Status replay = strata::capture::Replay(*program);
  if (!replay.ok()) std::cerr << "the Program does not replay: " << replay << "\n";
  return replay.ok() ? 0 : 3;
}

#pragma once
// The engine's side of its wire, for stand-ins: blocking, on descriptor 3.

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "strata/engine/v1/engine.pb.h"
#include "worker/agent/wire.h"

namespace strata::testing {

inline constexpr int kWireFd = 3;

inline void Send(const engine::v1::Event& event) {
  const std::string frame = agent::EncodeFrame(event);
  for (size_t sent = 0; sent < frame.size();) {
    const ssize_t put = write(kWireFd, frame.data() + sent, frame.size() - sent);
    if (put <= 0) std::exit(9);
    sent += put;
  }
}

// False at the wire's end.
inline bool Receive(agent::FrameReader& frames, engine::v1::Request* request) {
  for (;;) {
    auto frame = frames.Next();
    if (!frame.ok()) return false;
    if (frame->has_value()) return request->ParseFromString(**frame);
    char buffer[4096];
    const ssize_t got = read(kWireFd, buffer, sizeof buffer);
    if (got <= 0) return false;
    frames.Append(std::string_view(buffer, got));
  }
}

inline void SayHello() {
  engine::v1::Event event;
  event.mutable_hello()->set_engine_version("fake");
  event.mutable_hello()->add_devices("cpu");
  event.mutable_hello()->set_isolation("none");
  Send(event);
}

}  // namespace strata::testing

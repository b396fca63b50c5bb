#pragma once
// Framing of the engine wire (proto/strata/engine/v1): a varint length, then the message.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"

namespace strata::agent {

// A frame longer than this is a broken or hostile engine, not a message.
inline constexpr size_t kMaxFrameBytes = size_t{64} << 20;

// `message` as one frame.
std::string EncodeFrame(const google::protobuf::MessageLite& message);

// Collects bytes in whatever pieces they come and gives back whole frames. One thread.
class FrameReader {
 public:
  void Append(std::string_view bytes) { buffer_.append(bytes); }

  // The next frame's payload; nullopt: more bytes are needed. After an error the stream is lost.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  std::string buffer_;
  size_t consumed_ = 0;
};

}  // namespace strata::agent

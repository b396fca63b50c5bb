#include "worker/agent/wire.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace strata::agent {
namespace {

constexpr int kMaxVarintBytes = 5;

}  // namespace

std::string EncodeFrame(const google::protobuf::MessageLite& message) {
  std::string frame;
  {
    google::protobuf::io::StringOutputStream stream(&frame);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.WriteVarint32(static_cast<uint32_t>(message.ByteSizeLong()));
    message.SerializeWithCachedSizes(&coded);
  }
  return frame;
}

absl::StatusOr<std::optional<std::string>> FrameReader::Next() {
  uint64_t size = 0;
  int used = 0;
  for (;; ++used) {
    if (used == kMaxVarintBytes)
      return absl::DataLossError("the engine's wire carries no valid frame length");
    if (consumed_ + used >= buffer_.size()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(buffer_[consumed_ + used]);
    size |= uint64_t{byte & 0x7fu} << (7 * used);
    if ((byte & 0x80) == 0) break;
  }
  ++used;
  if (size > kMaxFrameBytes) {
    return absl::DataLossError(
        absl::StrCat("the engine announced a frame of ", size, " bytes; ", kMaxFrameBytes, " are allowed"));
  }
  if (buffer_.size() - consumed_ - used < size) return std::nullopt;
  std::string payload = buffer_.substr(consumed_ + used, size);
  consumed_ += used + size;
  // Moving the rest down only now and then keeps a burst of small events linear.
  if (consumed_ == buffer_.size() || consumed_ > (size_t{1} << 20)) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  return payload;
}

}  // namespace strata::agent

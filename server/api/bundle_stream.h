#pragma once
// The bundle as a sequence of messages, produced one at a time while they are sent.

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/blob_store.h"
#include "strata/v1/strata.pb.h"

namespace strata::api {

class BundleStream {
 public:
  virtual ~BundleStream() = default;
  // Fills the next message; false after the last.
  virtual absl::StatusOr<bool> Next(v1::BundleChunk* chunk) = 0;
};

// `files` in path order; all are stored in `blobs`, which outlives the stream.
std::unique_ptr<BundleStream> StreamFiles(const store::BlobStore& blobs, std::vector<v1::File> files);
// One tar.zst, the same bytes for the same files: no owners, times or folders in it.
std::unique_ptr<BundleStream> StreamTarZst(const store::BlobStore& blobs, std::vector<v1::File> files);

}  // namespace strata::api

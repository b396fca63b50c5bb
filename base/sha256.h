#pragma once
// SHA-256, the name of every stored content. A target of its own (strata_sha256): it links OpenSSL.

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace strata {

// One thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::string_view data);
  // 64 lowercase hexadecimal characters. The object is spent.
  std::string HexDigest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string Sha256Hex(std::string_view data);

// Of a regular file, read in pieces.
absl::StatusOr<std::string> Sha256File(const std::string& path);

// Whether `text` is what HexDigest() gives: 64 characters of [0-9a-f].
bool IsSha256Hex(std::string_view text);

}  // namespace strata

#pragma once
// SHA-256, by OpenSSL, as 64 lowercase hexadecimal characters.

#include <memory>
#include <string>

namespace strata::store {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  void Add(const char* data, size_t size);
  void Add(const std::string& data) { Add(data.data(), data.size()); }
  // Once, at the end.
  std::string Hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(const std::string& data);

// 64 characters of [0-9a-f], so also safe as a file name.
bool IsDigest(const std::string& text);

}  // namespace strata::store

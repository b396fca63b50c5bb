#include "server/store/digest.h"

#include <openssl/evp.h>

#include "absl/strings/escaping.h"

namespace strata::store {

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;

void Sha256::Add(const char* data, size_t size) { EVP_DigestUpdate(context_->evp, data, size); }

std::string Sha256::Hex() {
  std::string raw(32, '\0');
  EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(raw.data()), nullptr);
  return absl::BytesToHexString(raw);
}

std::string Sha256Hex(const std::string& data) {
  Sha256 hash;
  hash.Add(data);
  return hash.Hex();
}

bool IsDigest(const std::string& text) {
  if (text.size() != 64) return false;
  for (char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

}  // namespace strata::store

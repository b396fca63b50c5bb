#include "server/api/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace strata::api {
namespace {

bool IsLoopback(const std::string& host) {
  if (host == "localhost" || host == "[::1]") return true;
  in_addr parsed;
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1 && (ntohl(parsed.s_addr) >> 24) == 127;
}

absl::Status CheckSocket(const std::string& path) {
  if (path.empty())
    return absl::InvalidArgumentError("--listen unix: needs a path: unix:/run/strata/server.sock");
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen: the socket path has ", path.size(), " bytes, a Unix socket's may have at most ",
        sizeof(sockaddr_un::sun_path) - 1, "; choose a shorter one"));
  }
  const auto folder = std::filesystem::absolute(path).parent_path();
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen: there is no folder ", folder.string(), " for the socket"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string SocketPath(const std::string& address) {
  return absl::StartsWith(address, "unix:") ? address.substr(5) : "";
}

absl::Status CheckListenAddress(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return CheckSocket(SocketPath(address));
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen '", address,
                     "' is neither unix:PATH nor HOST:PORT; try unix:/tmp/strata.sock or 127.0.0.1:7420"));
  }
  if (IsLoopback(address.substr(0, colon))) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--listen '", address,
                   "' would be reached from other machines, but strata-server knows neither users nor"
                   " encryption yet: whoever reaches it runs code on its workers. Listen on unix:PATH or "
                   "127.0.0.1:PORT, and let"
                   " others in through ssh -L or a proxy that authenticates them"));
}

absl::Status CheckNobodyListens(const std::string& address) {
  const std::string path = SocketPath(address);
  if (path.empty()) return absl::OkStatus();
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int code = connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name));
  const bool answers = code == 0 || errno == EAGAIN;  // its queue is full
  close(fd);
  if (!answers) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("another server listens on ", path, "; stop it, or name another socket with --listen"));
}

}  // namespace strata::api

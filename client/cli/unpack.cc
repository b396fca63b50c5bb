#include "client/cli/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace strata::cli {
namespace {

namespace fs = std::filesystem;

struct Feed {
  const ByteSource& source;
  std::string chunk;
  absl::Status status;
};

la_ssize_t ReadFeed(archive* reader, void* data, const void** buffer) {
  auto* feed = static_cast<Feed*>(data);
  auto chunk = feed->source();
  if (!chunk.ok()) {
    feed->status = chunk.status();
    archive_set_error(reader, EIO, "%s", "the stream failed");
    return -1;
  }
  feed->chunk = *std::move(chunk);
  *buffer = feed->chunk.data();
  return static_cast<la_ssize_t>(feed->chunk.size());
}

absl::Status CheckEntryPath(const std::string& path) {
  if (path.empty() || path[0] == '/') {
    return absl::DataLossError(absl::StrCat("the bundle holds the path '", path, "', which is not relative"));
  }
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") {
      return absl::DataLossError(
          absl::StrCat("the bundle holds the path '", path, "', which leaves its folder"));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteFile(archive* reader, const fs::path& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0)
    return absl::InternalError(absl::StrCat("cannot create ", path.string(), ": ", std::strerror(errno)));
  const int result = archive_read_data_into_fd(reader, fd);
  if (close(fd) != 0 || result < ARCHIVE_WARN) {
    return absl::DataLossError(
        absl::StrCat("cannot write ", path.string(), ": ", archive_error_string(reader)));
  }
  return absl::OkStatus();
}

absl::Status ExtractEntry(archive* reader, archive_entry* entry, const fs::path& root) {
  // The plain form is null for a name that the locale cannot say.
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  const std::string path = name == nullptr ? "" : name;
  if (absl::Status status = CheckEntryPath(path); !status.ok()) return status;
  if (archive_entry_hardlink(entry) != nullptr ||
      (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != AE_IFDIR)) {
    return absl::DataLossError(
        absl::StrCat("the bundle holds '", path, "', which is neither file nor folder"));
  }
  std::error_code error;
  const fs::path target = root / path;
  const bool folder = archive_entry_filetype(entry) == AE_IFDIR;
  fs::create_directories(folder ? target : target.parent_path(), error);
  if (error)
    return absl::InternalError(absl::StrCat("cannot create ", target.string(), ": ", error.message()));
  return folder ? absl::OkStatus() : WriteFile(reader, target);
}

absl::Status ExtractAll(const ByteSource& source, const fs::path& root) {
  std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_tar(reader.get());
  Feed feed{source, {}, absl::OkStatus()};
  const auto failed = [&] {
    if (!feed.status.ok()) return feed.status;
    const char* why = archive_error_string(reader.get());
    return absl::DataLossError(absl::StrCat("the bundle's archive is damaged: ", why == nullptr ? "" : why));
  };
  if (archive_read_open(reader.get(), &feed, nullptr, ReadFeed, nullptr) != ARCHIVE_OK) return failed();
  for (archive_entry* entry = nullptr;;) {
    const int next = archive_read_next_header(reader.get(), &entry);
    if (next == ARCHIVE_EOF) break;
    if (next < ARCHIVE_WARN) return failed();
    absl::Status status = ExtractEntry(reader.get(), entry, root);
    if (!feed.status.ok()) return feed.status;
    if (!status.ok()) return status;
  }
  // The archive's end may come before the stream's: what the stream still has to say (an error) counts.
  for (;;) {
    auto rest = source();
    if (!rest.ok()) return rest.status();
    if (rest->empty()) return absl::OkStatus();
  }
}

bool IsEmptyFolder(const fs::path& dir) {
  std::error_code error;
  return fs::is_directory(dir, error) && fs::is_empty(dir, error);
}

absl::Status TakePlace(const fs::path& fresh, const fs::path& dir) {
  const fs::path old = fresh.string() + ".old";
  std::error_code error;
  const bool replaces = fs::exists(dir) && !IsEmptyFolder(dir);
  if (replaces) fs::rename(dir, old, error);
  if (!error) fs::rename(fresh, dir, error);
  if (error) {
    std::error_code ignored;
    if (replaces && !fs::exists(dir)) fs::rename(old, dir, ignored);
    return absl::InternalError(
        absl::StrCat("cannot put the bundle at ", dir.string(), ": ", error.message()));
  }
  if (replaces) fs::remove_all(old, error);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTarget(const std::string& dir, bool force) {
  std::error_code error;
  if (!fs::exists(dir, error) || IsEmptyFolder(dir)) return absl::OkStatus();
  if (!fs::is_directory(dir, error)) {
    return absl::FailedPreconditionError(absl::StrCat(dir, " is a file; name a folder with -o"));
  }
  if (!force) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, " is not empty; name another folder with -o, or replace it with --force"));
  }
  const fs::path root(dir);
  if (fs::exists(root / "decomposition_tree.json", error) ||
      fs::exists(root / "decomposition_log.json", error)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      dir, " is no bundle, so --force does not replace it; remove it yourself, or name another with -o"));
}

absl::Status UnpackBundle(const ByteSource& source, const std::string& dir, bool force) {
  if (absl::Status status = CheckTarget(dir, force); !status.ok()) return status;
  std::error_code error;
  fs::path target = fs::absolute(dir, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "out/"
  fs::create_directories(target.parent_path(), error);
  std::string fresh =
      (target.parent_path() / absl::StrCat(".", target.filename().string(), ".XXXXXX")).string();
  if (error || mkdtemp(fresh.data()) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot write below ", target.parent_path().string(), ": ", std::strerror(errno)));
  }
  absl::Cleanup cleanup = [&] { fs::remove_all(fresh, error); };
  if (absl::Status status = ExtractAll(source, fresh); !status.ok()) return status;
  chmod(fresh.c_str(), 0755);
  return TakePlace(fresh, target);
}

}  // namespace strata::cli

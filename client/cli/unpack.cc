#include "client/cli/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace strata::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kMark[] = "decomposition_tree.json";  // a folder that has it is a bundle

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

// Absolute and without links: what is renamed is the folder, not the way to it.
absl::StatusOr<fs::path> Resolve(const std::string& dir) {
  std::error_code error;
  fs::path target = fs::absolute(dir, error);
  if (!error) target = fs::weakly_canonical(target, error);
  if (error) return absl::FailedPreconditionError(absl::StrCat("cannot write ", dir, ": ", error.message()));
  if (!target.has_filename()) target = target.parent_path();  // "out/"
  if (fs::is_symlink(target, error)) {
    return absl::FailedPreconditionError(absl::StrCat(dir, " is a link to nothing; name a folder with -o"));
  }
  return target;
}

absl::Status CheckReplaceable(const fs::path& target, const std::string& dir, bool force) {
  std::error_code error;
  if (!fs::exists(target, error) || IsEmptyFolder(target)) return absl::OkStatus();
  if (!fs::is_directory(target, error)) {
    return absl::FailedPreconditionError(absl::StrCat(dir, " is a file; name a folder with -o"));
  }
  if (!force) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, " is not empty; name another folder with -o, or replace it with --force"));
  }
  if (fs::exists(target / kMark, error) || fs::exists(target / "decomposition_log.json", error))
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      dir, " is no bundle, so --force does not replace it; remove it yourself, or name another with -o"));
}

// A folder on the target's file system: in an empty target, which stays the folder it is (a shell may stand
// in it, or a disk be mounted there), else beside it.
absl::StatusOr<std::string> MakeFresh(const fs::path& target) {
  const fs::path parent = IsEmptyFolder(target) ? target : target.parent_path();
  const auto failed = [&](const std::string& why) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot write below ", parent.string(), ": ", why, "; name another folder with -o"));
  };
  std::error_code error;
  fs::create_directories(parent, error);
  if (error) return failed(error.message());
  std::string fresh = (parent / absl::StrCat(".", target.filename().string(), ".XXXXXX")).string();
  if (mkdtemp(fresh.data()) == nullptr) return failed(std::strerror(errno));
  return fresh;
}

// The mark comes last: who sees it sees all of the bundle.
std::error_code Fill(const fs::path& dir, const fs::path& fresh) {
  std::error_code error;
  std::vector<fs::path> names;
  for (const auto& entry : fs::directory_iterator(fresh, error)) names.push_back(entry.path().filename());
  std::stable_partition(names.begin(), names.end(), [](const fs::path& name) { return name != kMark; });
  for (size_t i = 0; i < names.size() && !error; ++i) fs::rename(fresh / names[i], dir / names[i], error);
  if (error) {
    std::error_code ignored;
    for (const fs::path& name : names) fs::remove_all(dir / name, ignored);
  }
  return error;
}

std::error_code Swap(const fs::path& dir, const fs::path& fresh) {
  const fs::path old = fresh.string() + ".old";
  std::error_code error;
  const bool replaces = fs::exists(dir, error);
  if (replaces) fs::rename(dir, old, error);
  if (!error) fs::rename(fresh, dir, error);
  std::error_code ignored;
  if (error && replaces && !fs::exists(dir, ignored)) fs::rename(old, dir, ignored);
  if (!error && replaces) fs::remove_all(old, ignored);
  return error;
}

}  // namespace

absl::Status CheckTarget(const std::string& dir, bool force) {
  STRATA_ASSIGN_OR_RETURN(const fs::path target, Resolve(dir));
  STRATA_RETURN_IF_ERROR(CheckReplaceable(target, dir, force));
  STRATA_ASSIGN_OR_RETURN(const std::string fresh, MakeFresh(target));
  std::error_code ignored;
  fs::remove(fresh, ignored);
  return absl::OkStatus();
}

absl::Status UnpackBundle(const ByteSource& source, const std::string& dir, bool force) {
  STRATA_ASSIGN_OR_RETURN(const fs::path target, Resolve(dir));
  STRATA_RETURN_IF_ERROR(CheckReplaceable(target, dir, force));
  STRATA_ASSIGN_OR_RETURN(const fs::path fresh, MakeFresh(target));
  std::error_code error;
  absl::Cleanup cleanup = [&] { fs::remove_all(fresh, error); };
  STRATA_RETURN_IF_ERROR(ExtractAll(source, fresh));
  chmod(fresh.c_str(), 0755);
  error = fresh.parent_path() == target ? Fill(target, fresh) : Swap(target, fresh);
  if (!error) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot put the bundle at ", target.string(), ": ", error.message()));
}

}  // namespace strata::cli

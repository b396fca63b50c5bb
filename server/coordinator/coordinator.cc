#include "server/coordinator/coordinator.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "server/error.h"
#include "server/store/job_queries.h"
#include "server/store/job_rows.h"
#include "server/store/migrations.h"
#include "server/store/result_rows.h"

namespace strata {

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Start(Options options) {
  std::unique_ptr<Coordinator> coordinator(new Coordinator(std::move(options)));
  if (absl::Status status = coordinator->Open(); !status.ok()) return status;
  return coordinator;
}

absl::Status Coordinator::LockFolder() {
  std::error_code error;
  std::filesystem::create_directories(options_.data_dir, error);
  const std::string path = options_.data_dir + "/lock";
  lock_fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot use the data folder ", options_.data_dir));
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("another strata-server uses the data folder ",
                                                      options_.data_dir, "; stop it or name another folder"));
  }
  return absl::OkStatus();
}

absl::Status Coordinator::Open() {
  if (absl::Status status = LockFolder(); !status.ok()) return status;
  auto blobs = store::BlobStore::Open(options_.data_dir);
  if (!blobs.ok()) return blobs.status();
  blobs_ = std::move(*blobs);
  const std::string path = options_.data_dir + "/strata.db";
  auto db = store::Database::OpenWriter(path);
  if (!db.ok()) return db.status();
  if (absl::Status status = store::Migrate(**db); !status.ok()) return status;
  store::DisconnectAllWorkers(**db);
  if (absl::Status status = (*db)->TakeStatus(); !status.ok()) return status;
  Reload(**db);
  readers_ = std::make_unique<store::Readers>(path);
  writer_ = std::make_unique<store::Writer>(
      std::move(*db),
      store::Writer::Hooks{[this] { return blobs_->Sync(); }, [this](store::Database& db) { Reload(db); }});
  ticker_ = std::thread([this] { TickLoop(); });
  return absl::OkStatus();
}

void Coordinator::RemoveLater(Turn& turn, std::vector<std::string> digests) {
  turn.after_commit.push_back([this, db = turn.db, digests = std::move(digests)] {
    for (const std::string& digest : digests) {
      // Work later in the same group may have stored the content anew.
      if (!store::BlobSize(*db, digest)) blobs_->Remove(digest);
    }
  });
}

void Coordinator::RemoveLeftovers(Turn& turn) {
  if (turn.now < next_cleaning_) return;
  next_cleaning_ = turn.now + options_.cleaning;
  store::Database& db = *turn.db;
  const absl::Time before = turn.now - options_.keep_unused;
  RemoveLater(turn, store::DeleteUnused(db, before).digests);
  std::vector<std::string> uploads;
  store::Rows rows = db.Query("SELECT digest FROM uploads WHERE started_us < ?", {before});
  while (rows.Next()) uploads.push_back(rows.Text(0));
  for (const std::string& digest : uploads) db.Run("DELETE FROM uploads WHERE digest=?", {digest});
  db.Run(
      "DELETE FROM workers WHERE last_seen_us < ? AND id NOT IN (SELECT last_worker FROM tasks WHERE state = "
      "3)",
      {turn.now - options_.keep_workers});
  turn.after_commit.push_back([this, uploads = std::move(uploads)] {
    for (const std::string& digest : uploads) blobs_->DropUpload(digest);
  });
}

void Coordinator::Reload(store::Database& db) {
  auto live = store::LoadLiveJobs(db);  // reads only: it is the writing that failed
  if (absl::Status status = db.TakeStatus(); !status.ok()) {
    if (options_.on_fatal) options_.on_fatal(status);
    std::abort();
  }
  last_now_ = std::max(last_now_, options_.clock());
  state_ = jobs::Restore(std::move(live), {}, last_now_, options_.jobs);
  printing_.clear();
  if (!links_.empty()) options_.log("a commit failed; all jobs were read again from disk");
  for (auto& [_, link] : links_)
    link.link->End(absl::UnavailableError("the server could not write; register again"));
  links_.clear();
}

absl::Status Coordinator::NotRecorded(const absl::Status& status) {
  if (absl::IsInternal(status)) return status;
  return TryAgain("NOT_RECORDED", absl::StrCat("nothing was recorded: ", std::string(status.message())),
                  absl::Seconds(1));
}

void Coordinator::TickLoop() {
  while (!stop_ticking_.WaitForNotificationWithTimeout(options_.tick)) {
    Write<Nothing>(
        [this](Turn& turn) {
          Apply(turn, jobs::Tick{});
          RemoveLeftovers(turn);
          return Nothing{};
        },
        [](absl::StatusOr<Nothing>) {});
  }
}

void Coordinator::Stop() {
  if (!stop_ticking_.HasBeenNotified()) stop_ticking_.Notify();
  if (ticker_.joinable()) ticker_.join();
  if (writer_ == nullptr) return;
  writer_->Post(
      [this](store::Database&) {
        for (auto& [_, link] : links_) link.link->End(absl::UnavailableError("the server is shutting down"));
        links_.clear();
      },
      [](const absl::Status&) {});
  writer_->Stop();
  events_.Close();
}

Coordinator::~Coordinator() {
  Stop();
  if (lock_fd_ >= 0) close(lock_fd_);
}

void Coordinator::Apply(Turn& turn, const jobs::Event& event, const Result* result) {
  for (const jobs::Effect& effect : jobs::Step(state_, event, turn.now, options_.jobs)) {
    std::visit([&](const auto& e) { Do(turn, result, e); }, effect);
  }
}

}  // namespace strata

#pragma once
// The scheduling core with its memory and its voices: turns requests and workers' messages into events, saves
// the effects, and only then speaks.
//
//   any thread ─→ Write(…) ─→ writer thread: [ Step → rows ]×n → commit → replies, leases, acks, wake-ups
//
// State, links and log sizes belong to the writer thread. If a commit fails, the group's callers get
// UNAVAILABLE, the state is read again from disk and every worker's stream is ended, so that it registers
// anew.
//
// On disk under data_dir:  lock  strata.db  blobs/ uploads/ tmp/  (store/blob_store.h)

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "server/coordinator/event_hub.h"
#include "server/jobs/scheduler.h"
#include "server/store/artifacts.h"
#include "server/store/blob_store.h"
#include "server/store/readers.h"
#include "server/store/writer.h"
#include "strata/v1/strata.pb.h"
#include "strata/v1/worker.pb.h"

namespace strata {

// One worker's stream, as the coordinator sees it. Called in the writer thread; must not block.
class WorkerLink {
 public:
  virtual ~WorkerLink() = default;
  virtual void Send(v1::ServerMessage message) = 0;
  // Nothing is sent after it.
  virtual void End(const absl::Status& status) = 0;
};

template <typename T>
using Done =
    absl::AnyInvocable<void(absl::StatusOr<T>)>;  // called once, in the writer thread, when it is on disk
struct Nothing {};

class Coordinator {
 public:
  struct Options {
    std::string data_dir;
    jobs::Config jobs;
    absl::Duration tick = absl::Seconds(1);
    absl::Duration cleaning = absl::Hours(1);      // pause between removals of what the next two speak of
    absl::Duration keep_unused = absl::Hours(24);  // contents that nothing refers to
    absl::Duration keep_workers = absl::Hours(7 * 24);  // rows of those that were not heard of since
    std::function<absl::Time()> clock = absl::Now;
    // One line about what happened, for the operator. Called in the writer thread after the commit.
    std::function<void(const std::string&)> log = [](const std::string&) {};
    // The disk neither takes nor gives: nothing sensible is left to do. Must not return.
    std::function<void(const absl::Status&)> on_fatal;
  };

  // Brings the schema up to date and takes up the jobs that had not ended. FailedPrecondition where another
  // server uses data_dir.
  static absl::StatusOr<std::unique_ptr<Coordinator>> Start(Options options);
  ~Coordinator();

  // What clients ask for. Requests are checked here (request_check.h).
  void Create(v1::CreateDecompositionRequest request, Done<v1::Decomposition> done);
  void Cancel(v1::CancelDecompositionRequest request, Done<v1::Decomposition> done);
  void Delete(v1::DeleteDecompositionRequest request, Done<v1::DeleteDecompositionResponse> done);
  void StartUpload(v1::StartUploadRequest request, Done<v1::Upload> done);
  // Takes over a flushed file whose bytes have this digest.
  void StoreBlob(std::shared_ptr<store::PartFile> file, const std::string& digest, Done<Nothing> done);

  // What workers say. `done` tells the stream to read on; messages of a session that is not the worker's
  // current one change nothing.
  void Join(v1::Register worker, jobs::SessionId session, std::shared_ptr<WorkerLink> link,
            Done<Nothing> done);
  void Leave(const std::string& worker, jobs::SessionId session);
  void Heard(const std::string& worker, jobs::SessionId session, const v1::Heartbeat& heartbeat,
             Done<Nothing> done);
  void Progressed(const std::string& worker, jobs::SessionId session, const v1::TaskProgress& progress,
                  Done<Nothing> done);
  void Printed(const std::string& worker, jobs::SessionId session, v1::TaskOutput output, Done<Nothing> done);
  // Reads the outputs' JSON in the calling thread.
  void Finished(const std::string& worker, jobs::SessionId session, v1::TaskResult result,
                Done<Nothing> done);
  jobs::SessionId NewSession() { return next_session_.fetch_add(1); }

  store::Readers& readers() { return *readers_; }
  store::BlobStore& blobs() { return *blobs_; }
  EventHub& events() { return events_; }
  const jobs::Config& config() const { return options_.jobs; }

  // No more work is taken; what was taken is done. Streams of workers end; their leases stay.
  void Stop();

 private:
  // One piece of work in the writer thread.
  struct Turn {
    store::Database* db = nullptr;
    absl::Time now;
    std::vector<std::function<void()>> after_commit;
  };
  // What belongs to a Report and the core need not see.
  struct Result {
    std::vector<v1::File> outputs;
    store::Findings findings;
  };
  struct Link {
    jobs::SessionId session = 0;
    std::shared_ptr<WorkerLink> link;
  };
  // Of a live attempt. What is over the caps is counted and thrown away.
  struct Printing {
    std::map<int, int64_t> stored;  // by stream
    std::map<int, int64_t> dropped;
    int progress_lines = 0;
  };

  explicit Coordinator(Options options) : options_(std::move(options)) {}
  absl::Status Open();
  absl::Status LockFolder();
  void Reload(store::Database& db);
  void TickLoop();
  // What a caller hears when its group was rolled back: a defect, or try again.
  static absl::Status NotRecorded(const absl::Status& status);

  template <typename T>
  void Write(absl::AnyInvocable<absl::StatusOr<T>(Turn&)> work, Done<T> done);
  // Makes the empty content known where one of the files has it: nobody uploads it.
  absl::Status StoreEmpty(Turn& turn, const v1::Source& source);
  // Files whose rows this turn deletes.
  void RemoveLater(Turn& turn, std::vector<std::string> digests);
  void RemoveLeftovers(Turn& turn);
  void Apply(Turn& turn, const jobs::Event& event, const Result* result = nullptr);

  void Do(Turn& turn, const Result* result, const jobs::SaveJob& effect);
  void Do(Turn& turn, const Result* result, const jobs::SaveTask& effect);
  void Do(Turn& turn, const Result* result, const jobs::SaveAttempt& effect);
  void Do(Turn& turn, const Result* result, const jobs::RecordOutputs& effect);
  void Do(Turn& turn, const Result* result, const jobs::SaveWorker& effect);
  void Do(Turn& turn, const Result* result, const jobs::AnnounceState& effect);
  void Do(Turn& turn, const Result* result, const jobs::AnnounceTask& effect);
  void Do(Turn& turn, const Result* result, const jobs::SendLease& effect);
  void Do(Turn& turn, const Result* result, const jobs::SendRevoke& effect);
  void Do(Turn& turn, const Result* result, const jobs::SendAck& effect);
  void Do(Turn& turn, const Result* result, const jobs::EndSession& effect);
  void Announce(Turn& turn, v1::Event event);
  void SendLater(Turn& turn, const std::string& worker, jobs::SessionId session, v1::ServerMessage message);
  void AskFor(Turn& turn, const std::string& worker, jobs::SessionId session, const std::string& lease,
              const std::vector<std::string>& missing);
  std::string WorkerName(const jobs::WorkerId& id) const;
  Printing& PrintingOf(store::Database& db, const jobs::LeaseId& lease);

  // The outcome the server believes, after a look at what was written.
  jobs::Report Judge(const std::string& worker, jobs::SessionId session, const v1::TaskResult& result,
                     Result* read);

  const Options options_;
  int lock_fd_ = -1;
  std::unique_ptr<store::BlobStore> blobs_;
  std::unique_ptr<store::Readers> readers_;
  EventHub events_;
  std::atomic<jobs::SessionId> next_session_{1};

  // Writer thread only.
  jobs::State state_;
  std::map<jobs::WorkerId, Link> links_;
  std::map<jobs::LeaseId, Printing> printing_;
  absl::Time last_now_ = absl::InfinitePast();
  absl::Time next_cleaning_ = absl::InfinitePast();

  std::unique_ptr<store::Writer> writer_;
  absl::Notification stop_ticking_;
  std::thread ticker_;
};

template <typename T>
void Coordinator::Write(absl::AnyInvocable<absl::StatusOr<T>(Turn&)> work, Done<T> done) {
  struct Box {
    Turn turn;
    absl::StatusOr<T> result = absl::InternalError("the work did not run");
  };
  auto box = std::make_shared<Box>();
  writer_->Post(
      [this, box, work = std::move(work)](store::Database& db) mutable {
        last_now_ = std::max(last_now_, options_.clock());
        box->turn.db = &db;
        box->turn.now = last_now_;
        box->result = work(box->turn);
      },
      [box, done = std::move(done)](const absl::Status& status) mutable {
        if (!status.ok()) return done(NotRecorded(status));
        for (auto& action : box->turn.after_commit) action();
        done(std::move(box->result));
      });
}

}  // namespace strata

#pragma once
// SQLite behind values: one connection per Database, statements cached by their text. The only user of
// sqlite3.h is sqlite.cc. Not thread-safe: a Database belongs to one thread at a time.
//
// Errors stick: the first one is kept, later calls do nothing, TakeStatus() hands it out. So a sequence of
// calls is written straight and asked once.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace strata::store {

struct Bytes {
  std::string data;
};

// What is bound to a '?'. bool and enum pass as integers, absl::Time as microseconds since the epoch
// (infinite past: NULL), NaN as NULL.
class Value {
 public:
  Value(std::nullptr_t) {}
  Value(const char* text) : value_(std::string(text)) {}
  Value(std::string text) : value_(std::move(text)) {}
  Value(Bytes bytes) : value_(std::move(bytes)) {}
  Value(double number) : value_(number) {}
  Value(absl::Time time);
  template <typename T, typename = std::enable_if_t<std::is_integral_v<T> || std::is_enum_v<T>>>
  Value(T number) : value_(static_cast<int64_t>(number)) {}

 private:
  friend class Database;
  std::variant<std::monostate, int64_t, double, std::string, Bytes> value_;
};

// The rows of one query, one at a time. Lives shorter than its Database, and no second query with the same
// text may run on it meanwhile.
class Rows {
 public:
  Rows(class Database* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  Rows(Rows&& other) noexcept : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)) {}
  Rows(const Rows&) = delete;
  ~Rows();

  // False after the last row, or on an error, which then sticks to the Database.
  bool Next();
  bool Null(int column) const;
  int64_t Int(int column) const;
  double Real(int column) const;  // NULL is NaN
  std::string Text(int column) const;
  absl::Time Time(int column) const;  // NULL is the infinite past
  template <typename E>
  E Enum(int column) const {
    return static_cast<E>(Int(column));
  }

 private:
  Database* db_;
  sqlite3_stmt* statement_;
};

class Database {
 public:
  // For the one writer: WAL, synchronous=FULL, foreign keys on. Makes the file if there is none.
  static absl::StatusOr<std::unique_ptr<Database>> OpenWriter(const std::string& path);
  // Read-only; never checkpoints, neither on its own nor when closed.
  static absl::StatusOr<std::unique_ptr<Database>> OpenReader(const std::string& path);
  ~Database();
  Database(const Database&) = delete;

  // One or more statements without parameters.
  void Script(const std::string& sql);
  // One statement that gives no rows.
  void Run(const std::string& sql, std::initializer_list<Value> values = {});
  Rows Query(const std::string& sql, std::initializer_list<Value> values = {});
  // As Query, for a number of parameters that is known only at run time.
  Rows QueryWith(const std::string& sql, const std::vector<Value>& values);
  // First column of the first row, 0 without one.
  int64_t QueryInt(const std::string& sql, std::initializer_list<Value> values = {});
  int64_t last_insert_id() const;
  int64_t changes() const;  // rows touched by the last Run

  bool ok() const { return status_.ok(); }
  absl::Status TakeStatus() { return std::exchange(status_, absl::OkStatus()); }
  void Fail(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }

 private:
  friend class Rows;
  explicit Database(sqlite3* handle) : handle_(handle) {}
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, int flags);
  sqlite3_stmt* Prepare(const std::string& sql);
  template <typename Values>
  sqlite3_stmt* Bind(const std::string& sql, const Values& values);
  void FailHere(const std::string& what);

  sqlite3* handle_;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
  absl::Status status_;
};

}  // namespace strata::store

#include "server/store/sqlite.h"

#include <sqlite3.h>

#include <cmath>

#include "absl/strings/str_cat.h"

namespace strata::store {
namespace {

// A full disk or a lock passes; all else is a defect or a broken file.
absl::Status ToStatus(int code, const std::string& message) {
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

struct Binder {
  sqlite3_stmt* statement;
  int index;
  int operator()(std::monostate) const { return sqlite3_bind_null(statement, index); }
  int operator()(int64_t v) const { return sqlite3_bind_int64(statement, index, v); }
  int operator()(double v) const {
    return std::isnan(v) ? sqlite3_bind_null(statement, index) : sqlite3_bind_double(statement, index, v);
  }
  int operator()(const std::string& v) const {
    return sqlite3_bind_text64(statement, index, v.data(), v.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  int operator()(const Bytes& v) const {
    return sqlite3_bind_blob64(statement, index, v.data.data(), v.data.size(), SQLITE_TRANSIENT);
  }
};

}  // namespace

Value::Value(absl::Time time) {
  if (time != absl::InfinitePast()) value_ = absl::ToUnixMicros(time);
}

Rows::~Rows() {
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

bool Rows::Next() {
  if (statement_ == nullptr || !db_->ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) db_->FailHere("reading a row");
  return false;
}

bool Rows::Null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
int64_t Rows::Int(int column) const { return sqlite3_column_int64(statement_, column); }
double Rows::Real(int column) const {
  return Null(column) ? std::nan("") : sqlite3_column_double(statement_, column);
}

std::string Rows::Text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  return data == nullptr
             ? ""
             : std::string(static_cast<const char*>(data), sqlite3_column_bytes(statement_, column));
}

absl::Time Rows::Time(int column) const {
  return Null(column) ? absl::InfinitePast() : absl::FromUnixMicros(Int(column));
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, int flags) {
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Database> db(new Database(handle));
  if (code != SQLITE_OK) {
    return ToStatus(code, absl::StrCat("cannot open the database ", path, ": ", sqlite3_errstr(code)));
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 2000);
  return db;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenWriter(const std::string& path) {
  auto db = Open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  if (!db.ok()) return db.status();
  (*db)->Script(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA "
      "wal_autocheckpoint=1000;"
      "PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY;");
  if (absl::Status status = (*db)->TakeStatus(); !status.ok()) return status;
  return db;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenReader(const std::string& path) {
  auto db = Open(path, SQLITE_OPEN_READONLY);
  if (!db.ok()) return db.status();
  // A checkpoint by a second connection beside a write can corrupt WAL databases before SQLite 3.51.3.
  sqlite3_db_config((*db)->handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  (*db)->Script("PRAGMA wal_autocheckpoint=0; PRAGMA query_only=ON; PRAGMA temp_store=MEMORY;");
  if (absl::Status status = (*db)->TakeStatus(); !status.ok()) return status;
  return db;
}

Database::~Database() {
  for (auto& [_, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(handle_);
}

void Database::FailHere(const std::string& what) {
  Fail(ToStatus(sqlite3_errcode(handle_), absl::StrCat("database: ", what, ": ", sqlite3_errmsg(handle_))));
}

void Database::Script(const std::string& sql) {
  if (!ok()) return;
  if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) FailHere(sql.substr(0, 60));
}

sqlite3_stmt* Database::Prepare(const std::string& sql) {
  if (!ok()) return nullptr;
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr &&
      sqlite3_prepare_v3(handle_, sql.c_str(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK) {
    FailHere(sql.substr(0, 60));
    return nullptr;
  }
  return statement;
}

template <typename Values>
sqlite3_stmt* Database::Bind(const std::string& sql, const Values& values) {
  sqlite3_stmt* statement = Prepare(sql);
  if (statement == nullptr) return nullptr;
  sqlite3_reset(statement);
  int index = 0;
  for (const Value& value : values) {
    if (std::visit(Binder{statement, ++index}, value.value_) != SQLITE_OK) {
      FailHere(absl::StrCat("parameter ", index, " of ", sql.substr(0, 60)));
      return nullptr;
    }
  }
  if (sqlite3_bind_parameter_count(statement) != index) {
    Fail(absl::InternalError(absl::StrCat("database: ", index, " values for ", sql.substr(0, 60))));
    return nullptr;
  }
  return statement;
}

void Database::Run(const std::string& sql, std::initializer_list<Value> values) {
  sqlite3_stmt* statement = Bind(sql, values);
  if (statement == nullptr) return;
  const int code = sqlite3_step(statement);
  if (code != SQLITE_DONE && code != SQLITE_ROW) FailHere(sql.substr(0, 60));
  sqlite3_reset(statement);
}

Rows Database::Query(const std::string& sql, std::initializer_list<Value> values) {
  return {this, Bind(sql, values)};
}

Rows Database::QueryWith(const std::string& sql, const std::vector<Value>& values) {
  return {this, Bind(sql, values)};
}

int64_t Database::QueryInt(const std::string& sql, std::initializer_list<Value> values) {
  Rows rows = Query(sql, values);
  return rows.Next() ? rows.Int(0) : 0;
}

int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }
int64_t Database::changes() const { return sqlite3_changes64(handle_); }

}  // namespace strata::store

// SQLite's C interface, as far as we need it, with owners for its handles.
// Only this file includes sqlite3.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <sqlite3.h>

namespace postern::sqlite {

struct CloseSqlite {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseSqlite>;

// A prepared statement; bound by position, from 1.
class Statement {
 public:
  Statement(sqlite3* db, const std::string& sql) {
    code_ = sqlite3_prepare_v3(db, sql.c_str(), static_cast<int>(sql.size()),
                               SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& Bind(int place, int64_t value) {
    sqlite3_bind_int64(statement_, place, value);
    return *this;
  }
  // The text must live until the statement has been reset.
  Statement& Bind(int place, std::string_view text) {
    sqlite3_bind_text(statement_, place, text.data(),
                      static_cast<int>(text.size()), SQLITE_STATIC);
    return *this;
  }
  // As of text; any bytes.
  Statement& BindBlob(int place, std::string_view bytes) {
    sqlite3_bind_blob(statement_, place, bytes.data(),
                      static_cast<int>(bytes.size()), SQLITE_STATIC);
    return *this;
  }
  Statement& BindNull(int place) {
    sqlite3_bind_null(statement_, place);
    return *this;
  }
  // True: there is a row. At the end, or after an error, false.
  bool Step() {
    if (statement_) code_ = sqlite3_step(statement_);
    return code_ == SQLITE_ROW;
  }
  void Reset() { sqlite3_reset(statement_); }
  // SQLITE_DONE or SQLITE_ROW where all is well.
  int code() const { return code_ & 0xff; }
  bool failed() const {
    return code() != SQLITE_OK && code() != SQLITE_DONE && code() != SQLITE_ROW;
  }

  int64_t Int(int column) const {
    return sqlite3_column_int64(statement_, column);
  }
  std::string Text(int column) const {
    const auto* text = sqlite3_column_text(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return text ? std::string(reinterpret_cast<const char*>(text),
                              static_cast<size_t>(size))
                : std::string();
  }
  bool IsNull(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK;
};

inline bool IsCorrupt(int code) {
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

inline int Execute(sqlite3* db, const char* sql) {
  return sqlite3_exec(db, sql, nullptr, nullptr, nullptr) & 0xff;
}

// The first column of the first row.
inline std::optional<int64_t> Ask(sqlite3* db, const char* sql) {
  Statement statement(db, sql);
  if (!statement.Step()) return std::nullopt;
  return statement.Int(0);
}

}  // namespace postern::sqlite

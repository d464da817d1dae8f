#include "policy-daemon/answer_table.h"

#include <string>

#include <gtest/gtest.h>

namespace postern {
namespace {

const SteadyTime kStart = SteadyTime{} + std::chrono::hours(1);
constexpr size_t kManyBytes = 1 << 20;

Replies Both(const std::string& plain, const std::string& tlsrpt,
             ReplyKind kind = ReplyKind::kSecure) {
  return {{plain, tlsrpt}, kind};
}

Replies Same(const std::string& text) {
  return Both(text, text, ReplyKind::kDaneOnly);
}

std::string Key(int number) { return "d" + std::to_string(number); }

// A table with a clock of its own.
class Table {
 public:
  explicit Table(size_t max_entries = 100, size_t max_bytes = kManyBytes)
      : table_(max_entries, max_bytes) {}

  void Put(std::string_view key, const Replies& replies,
           Seconds ttl = Seconds(60)) {
    table_.Put(key, replies, now_ + ttl);
  }
  // "" where nothing holds.
  std::string Find(std::string_view key, Dialect dialect = Dialect::kPolicy) {
    return std::string(table_.Find(key, dialect, now_).text);
  }
  bool Has(int number) { return !Find(Key(number)).empty(); }
  ReplyKind Kind(std::string_view key) {
    return table_.Find(key, Dialect::kPolicy, now_).kind;
  }
  void TimePasses(Seconds time) { now_ += time; }
  AnswerTable& operator*() { return table_; }

 private:
  AnswerTable table_;
  SteadyTime now_ = kStart;
};

TEST(AnswerTable, KnowsWhatWasPut) {
  Table table;
  EXPECT_EQ(table.Find("example.com"), "");
  table.Put("example.com", Same("12:OK dane-only,"));
  EXPECT_EQ(table.Find("example.com"), "12:OK dane-only,");
  EXPECT_EQ(table.Kind("example.com"), ReplyKind::kDaneOnly);
  EXPECT_EQ(table.Find("example.co"), "");
  EXPECT_EQ(table.Find("example.com."), "");
  EXPECT_EQ(table.Find(""), "");
  EXPECT_EQ((*table).size(), 1u);
}

TEST(AnswerTable, KeepsOneReplyForEachDialect) {
  Table table;
  table.Put("a", Both("plain", "with reports"));
  EXPECT_EQ(table.Find("a", Dialect::kPolicy), "plain");
  EXPECT_EQ(table.Find("a", Dialect::kTlsrpt), "with reports");
  table.Put("b", Same("both"));
  EXPECT_EQ(table.Find("b", Dialect::kPolicy), "both");
  EXPECT_EQ(table.Find("b", Dialect::kTlsrpt), "both");
}

TEST(AnswerTable, ForgetsAtTheExpiry) {
  Table table;
  table.Put("a", Same("x"), Seconds(60));
  table.TimePasses(Seconds(59));
  EXPECT_EQ(table.Find("a"), "x");
  table.TimePasses(Seconds(1));
  EXPECT_EQ(table.Find("a"), "");
  table.Put("a", Same("y"), Seconds(60));
  EXPECT_EQ(table.Find("a"), "y");
}

TEST(AnswerTable, ReplacesWhatItHas) {
  Table table;
  table.Put("a", Both("old", "old with reports"));
  const size_t bytes = (*table).bytes();
  for (int i = 0; i < 100; ++i) table.Put("a", Same("new"));
  EXPECT_EQ(table.Find("a", Dialect::kPolicy), "new");
  EXPECT_EQ(table.Find("a", Dialect::kTlsrpt), "new");
  EXPECT_EQ((*table).size(), 1u);
  EXPECT_LE((*table).bytes(), bytes);
}

TEST(AnswerTable, HoldsNoMoreThanItsEntries) {
  Table table(10);
  for (int i = 0; i < 1000; ++i) {
    table.Put(Key(i), Same("x" + std::to_string(i)));
    EXPECT_LE((*table).size(), 10u);
    EXPECT_EQ(table.Find(Key(i)), "x" + std::to_string(i)) << "the newest";
  }
  EXPECT_EQ((*table).size(), 10u);
}

TEST(AnswerTable, HoldsNoMoreThanItsBytes) {
  Table table(1000000, 10000);
  for (int i = 0; i < 1000; ++i) {
    table.Put(Key(i), Same(std::string(static_cast<size_t>(i % 500), 'x')));
    EXPECT_LE((*table).bytes(), 10000u);
  }
  EXPECT_GT((*table).size(), 5u);
}

TEST(AnswerTable, LeavesOutWhatIsTooLarge) {
  Table table(100, 10000);
  table.Put("small", Same("x"));
  table.Put("large", Same(std::string(20000, 'x')));
  EXPECT_EQ(table.Find("large"), "");
  EXPECT_EQ(table.Find("small"), "x");
  // Rather no answer than the one before.
  table.Put("small", Same(std::string(20000, 'x')));
  EXPECT_EQ(table.Find("small"), "");
  EXPECT_EQ((*table).bytes(), 0u);
}

TEST(AnswerTable, KeepsWhatIsAskedFor) {
  Table table(10);
  for (int i = 0; i < 10; ++i) table.Put(Key(i), Same("x"));
  for (int i = 10; i < 1000; ++i) {
    ASSERT_TRUE(table.Has(3)) << "asked for before each of them";
    table.Put(Key(i), Same("x"));
  }
}

TEST(AnswerTable, EvictsEvenWhereEverythingIsAskedFor) {
  Table table(10);
  for (int i = 0; i < 100; ++i) {
    table.Put(Key(i), Same("x"));
    for (int j = 0; j <= i; ++j) table.Has(j);
  }
  EXPECT_EQ((*table).size(), 10u);
}

TEST(AnswerTable, GivesFreedRoomBack) {
  Table table(1000, 100000);
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 20; ++i)
      table.Put(Key(i), Both(std::string(static_cast<size_t>(round * 7), 'p'),
                             std::string(static_cast<size_t>(i * 11), 't')));
  }
  EXPECT_EQ((*table).size(), 20u);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(table.Find(Key(i), Dialect::kPolicy), std::string(343, 'p'));
    if (i * 11 == 0) continue;  // an empty reply is none
    EXPECT_EQ(table.Find(Key(i), Dialect::kTlsrpt),
              std::string(static_cast<size_t>(i * 11), 't'));
  }
}

TEST(AnswerTable, EvictsTheOldestOfWhatNobodyAskedFor) {
  Table table(10);
  for (int i = 0; i < 20; ++i) table.Put(Key(i), Same("x"));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(table.Has(i)) << i;
  for (int i = 10; i < 20; ++i) EXPECT_TRUE(table.Has(i)) << i;
}

TEST(AnswerTable, TheHandPassesNoEmptyPlaces) {
  Table table(1000);
  for (int i = 0; i < 1000; ++i) table.Put(Key(i), Same("x"));
  (*table).SetBounds(10, 1 << 20);
  EXPECT_EQ((*table).size(), 10u);
  EXPECT_EQ((*table).slots(), 10u);
  for (int i = 0; i < 1000; ++i) {
    table.Put(Key(i), Same("x"));
    EXPECT_EQ((*table).slots(), 10u);
    EXPECT_TRUE(table.Has(i));
  }
  (*table).Drop(Key(995));
  EXPECT_EQ((*table).slots(), 9u);
  for (int i = 990; i < 1000; ++i) EXPECT_EQ(table.Has(i), i != 995) << i;
}

}  // namespace
}  // namespace postern

// The store on its disk thread: real threads, a real file, virtual time.
#include "policy-daemon/durable_store.h"

#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <fcntl.h>

#include <boost/asio/executor_work_guard.hpp>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "tests/support/fake_world.h"
#include "tests/support/policy_folder.h"

namespace postern {
namespace {

using namespace std::chrono_literals;

// Lets the loop run until `done`, by what other threads bring.
void WaitUntil(FakeWorld& world, const std::function<bool()>& done) {
  const auto work = boost::asio::make_work_guard(world.loop);
  while (!done()) {
    world.loop.restart();
    world.loop.run_one();
  }
}

// Keeps a disk thread busy until it is let go.
class Hang {
 public:
  explicit Hang(DiskThread& thread) {
    std::promise<void> begun;
    auto waiting = begun.get_future();
    thread.Post([&begun, free = free_.get_future().share()] {
      begun.set_value();
      free.wait();
    });
    waiting.wait();
  }
  ~Hang() { LetGo(); }
  Hang(const Hang&) = delete;
  Hang& operator=(const Hang&) = delete;
  void LetGo() {
    if (!std::exchange(gone_, true)) free_.set_value();
  }

 private:
  std::promise<void> free_;
  bool gone_ = false;
};

// --- DiskThread.

class DiskThreadTest : public testing::Test {
 protected:
  void TearDown() override { world.End(); }
  void Start() {
    thread.emplace(world.loop.get_executor(), world.clock,
                   [this] { settled.push_back(jobs); });
  }

  FakeWorld world;
  // On the disk thread, and after its end.
  int jobs = 0;
  std::vector<int> settled;  // how many jobs had run
  std::optional<DiskThread> thread;
};

TEST_F(DiskThreadTest, RunsJobsInTheirOrderAndElsewhere) {
  Start();
  std::vector<int> order;
  bool elsewhere = true;
  const auto here = std::this_thread::get_id();
  for (int i = 0; i < 100; ++i)
    thread->Post([&, i] {
      order.push_back(i);
      if (std::this_thread::get_id() == here) elsewhere = false;
    });
  thread.reset();
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order.size(), 100u);
  EXPECT_TRUE(elsewhere);
}

TEST_F(DiskThreadTest, SettlesOnceForABurst) {
  Start();
  {
    const Hang hang(*thread);
    for (int i = 0; i < 500; ++i) thread->Post([this] { ++jobs; });
  }
  thread.reset();
  EXPECT_EQ(settled, std::vector<int>{500});
}

TEST_F(DiskThreadTest, SettlesAtTheLatestAfterAThousand) {
  Start();
  {
    const Hang hang(*thread);
    for (int i = 0; i < 2500; ++i) thread->Post([this] { ++jobs; });
  }
  thread.reset();
  // (The job that hung is the first of the first thousand.)
  EXPECT_EQ(settled, (std::vector<int>{999, 1999, 2500}));
}

TEST_F(DiskThreadTest, GivesBackWhatTheWorkReturns) {
  Start();
  std::function<std::string()> work = [] { return std::string("value"); };
  const auto run = world.Start(thread->Run<std::string>(std::move(work), 60s));
  WaitUntil(world, [&] { return run.done(); });
  EXPECT_EQ(run.value(), "value");
}

TEST_F(DiskThreadTest, WaitsForItsPatienceAndNoLonger) {
  Start();
  const Hang hang(*thread);
  std::function<int()> work = [] { return 1; };
  const auto run = world.Start(thread->Run<int>(std::move(work), 3s));
  world.Pass(2999ms);
  EXPECT_FALSE(run.done());
  world.Pass(1ms);
  ASSERT_TRUE(run.done());
  EXPECT_EQ(run.value(), std::nullopt);
}

TEST_F(DiskThreadTest, ALateResultHarmsNobody) {
  Start();
  {
    const Hang hang(*thread);
    std::function<std::string()> work = [] { return std::string(100, 'x'); };
    const auto run = world.Start(thread->Run<std::string>(std::move(work), 3s));
    world.Pass(3s);
    EXPECT_TRUE(run.done());
  }
  thread.reset();
}

TEST_F(DiskThreadTest, WhatOneJobThrowsIsItsOwnAffair) {
  Start();
  thread->Post([] { throw std::runtime_error("a job's fault"); });
  thread->Post([] { throw 7; });
  std::function<int()> faulty = []() -> int { throw std::runtime_error("x"); };
  const auto failed = world.Start(thread->Run<int>(std::move(faulty), 60s));
  WaitUntil(world, [&] { return failed.done(); });
  EXPECT_EQ(failed.value(), std::nullopt) << "at once, not after its patience";
  std::function<int()> work = [] { return 1; };
  const auto run = world.Start(thread->Run<int>(std::move(work), 60s));
  WaitUntil(world, [&] { return run.done(); });
  EXPECT_EQ(run.value(), 1);
}

TEST_F(DiskThreadTest, WhatSettlingThrowsIsNotTheEnd) {
  thread.emplace(world.loop.get_executor(), world.clock, [this] {
    settled.push_back(jobs);
    throw std::runtime_error("a fault of settling");
  });
  thread->Post([this] { ++jobs; });
  thread.reset();
  EXPECT_EQ(settled, std::vector<int>{1});
}

TEST_F(DiskThreadTest, TakesNoMoreThanItsQueueHolds) {
  Start();
  Hang hang(*thread);
  int taken = 0;
  while (taken < 100000 && thread->Post([] {})) ++taken;
  EXPECT_EQ(taken, 50000);
  std::function<int()> work = [] { return 1; };
  EXPECT_EQ(world.Run(thread->Run<int>(std::move(work), 3s)), std::nullopt);
}

// --- DurableStore.

// A disk that hangs: SQLite's file locks, which every access takes, block on
// all threads but the one that made this.
class HangingDisk {
 public:
  HangingDisk() {
    {
      const std::lock_guard lock(mutex_);
      maker_ = std::this_thread::get_id();
      hangs_ = true;
    }
    sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
    vfs->xSetSystemCall(vfs, "fcntl",
                        reinterpret_cast<sqlite3_syscall_ptr>(Lock));
  }
  ~HangingDisk() { Recover(); }
  HangingDisk(const HangingDisk&) = delete;
  HangingDisk& operator=(const HangingDisk&) = delete;

  // Returns once somebody hangs.
  void AwaitVictim() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [] { return victims_ > 0; });
  }
  // Returns once nobody hangs any more.
  void Recover() {
    std::unique_lock lock(mutex_);
    hangs_ = false;
    changed_.notify_all();
    changed_.wait(lock, [] { return victims_ == 0; });
    sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
    vfs->xSetSystemCall(vfs, "fcntl", nullptr);
  }

 private:
  static int Lock(int file, int command, void* argument) {
    Pass();
    return fcntl(file, command, argument);
  }
  static void Pass() {
    std::unique_lock lock(mutex_);
    if (std::this_thread::get_id() == maker_) return;
    ++victims_;
    changed_.notify_all();
    changed_.wait(lock, [] { return !hangs_; });
    --victims_;
    changed_.notify_all();
  }

  // Static: a victim may look at it after the disk has recovered.
  static inline std::mutex mutex_;
  static inline std::condition_variable changed_;
  // Guarded by mutex_:
  static inline std::thread::id maker_;
  static inline bool hangs_ = false;
  static inline int victims_ = 0;
};

class DurableStoreTest : public testing::Test {
 protected:
  DurableStoreTest() { Open(); }
  void TearDown() override {
    if (store) store->Close();
    world.End();
  }

  void Open(std::chrono::milliseconds patience = 60s) {
    store.emplace(world.loop.get_executor(), world.clock,
                  std::make_unique<PolicyFile>(folder.path(), world.metrics),
                  PolicyTable::Bounds(), world.metrics, patience);
  }
  // Closes it as at a clean end.
  void Close() {
    store->Close();
    world.clock.RunReady();
    store.reset();
  }
  template <class T>
  T Wait(const Started<T>& started) {
    WaitUntil(world, [&] { return started.done(); });
    return started.value();
  }
  StsMemory Find(const std::string& domain) { return store->Find(domain); }
  Started<bool> StartPut(const std::string& domain) {
    return world.Start(PutOne(domain));
  }
  // What a crash at this moment leaves.
  StsMemory AfterCrash(const std::string& domain) {
    PolicyFolder after;
    after.TakeFrom(folder, /*with_shared_memory=*/false);
    return FileStore::Open({after.path()}, world.metrics)->Find(domain);
  }
  double Errors() {
    return world.metrics.Counter("postern_store_errors_total", "").Value();
  }

  PolicyFolder folder;
  FakeWorld world;
  std::optional<DurableStore> store;

 private:
  Awaitable<bool> PutOne(std::string domain) {
    co_await store->PutPolicy(std::move(domain), SomePolicy());
    co_return true;
  }
};

TEST_F(DurableStoreTest, WhatIsPutIsFound) {
  Wait(StartPut("a.example"));
  store->PutFailure("b.example", SomeFailure());
  EXPECT_EQ(Told(Find("a.example")), Told({SomePolicy(), {}}));
  EXPECT_EQ(Told(Find("b.example")), Told({{}, SomeFailure()}));
  EXPECT_EQ(Told(Find("c.example")), "nothing");
}

TEST_F(DurableStoreTest, WritesComeInTheirOrder) {
  Wait(StartPut("a.example"));
  store->NoteUse("a.example", kNow + 1h, kNow + 2h);
  store->Schedule("a.example", SomePolicy().fetched_at, kNow + 3h);
  const StsMemory memory = Find("a.example");
  EXPECT_EQ(memory.policy->used_at, kNow + 1h);
  EXPECT_EQ(memory.policy->check_at, kNow + 3h);
  store->Forget("a.example");
  EXPECT_EQ(Told(Find("a.example")), "nothing");
}

TEST_F(DurableStoreTest, APutEndsWithItsCommit) {
  HangingDisk disk;
  const auto put = StartPut("a.example");
  world.clock.RunReady();
  EXPECT_FALSE(put.done());
  EXPECT_EQ(Told(AfterCrash("a.example")), "nothing");
  disk.Recover();
  Wait(put);
  EXPECT_EQ(Told(AfterCrash("a.example")), Told({SomePolicy(), {}}));
}

TEST_F(DurableStoreTest, ManyPutsShareACommit) {
  std::vector<Started<bool>> puts;
  {
    const HangingDisk disk;
    for (int i = 0; i < 300; ++i)
      puts.push_back(StartPut("d" + std::to_string(i) + ".example"));
  }
  for (const auto& put : puts) Wait(put);
  // A commit of its own for each would take three pages each, at least.
  EXPECT_LT(std::filesystem::file_size(folder.path() + "-wal"), 300u * 4096);
  EXPECT_TRUE(AfterCrash("d299.example").policy);
}

TEST_F(DurableStoreTest, ADiskThatHangsCostsNoQuestionAnything) {
  Wait(StartPut("a.example"));
  const HangingDisk disk;
  store->NoteUse("a.example", kNow + 1h, kNow + 1h);
  EXPECT_EQ(Find("a.example").policy->used_at, kNow + 1h);
  EXPECT_FALSE(Find("a.example").unread);
  EXPECT_FALSE(Find("b.example").unread);
}

// A start on a disk that hangs.
TEST_F(DurableStoreTest, WhatCannotBeReadInTimeIsReadLater) {
  Wait(StartPut("a.example"));
  Close();
  HangingDisk disk;
  Open(10ms);
  EXPECT_TRUE(Find("a.example").unread) << "there may be one";
  store->PutFailure("a.example", SomeFailure("2"));
  const auto put = StartPut("b.example");
  world.Pass(2s);
  EXPECT_TRUE(put.done());
  EXPECT_FALSE(Find("b.example").unread) << "it is known";
  disk.Recover();
  WaitUntil(world, [&] { return !Find("a.example").unread; });
  EXPECT_TRUE(Find("a.example").policy);
  EXPECT_TRUE(Find("a.example").failure);
  Close();
  EXPECT_TRUE(AfterCrash("a.example").policy);
  EXPECT_TRUE(AfterCrash("b.example").policy);
}

TEST_F(DurableStoreTest, ADiskThatHangsCostsAPutTwoSecondsAndIsWrittenLater) {
  HangingDisk disk;
  const auto put = StartPut("a.example");
  world.Pass(2s);
  EXPECT_TRUE(put.done());
  disk.Recover();
  EXPECT_EQ(Told(Find("a.example")), Told({SomePolicy(), {}}));
}

TEST_F(DurableStoreTest, ADiskThatHangsHoldsUpNoAgenda) {
  Wait(StartPut("a.example"));
  const HangingDisk disk;
  store->NoteUse("a.example", kNow, kNow + 1h);
  EXPECT_EQ(world.Run(store->Due(kNow + 720h, 10)),
            std::vector<std::string>{"a.example"});
}

TEST_F(DurableStoreTest, ADiskThatHangsForLongLosesNothing) {
  {
    HangingDisk disk;
    for (int i = 0; i < 60000; ++i)
      store->NoteUse("a.example", kNow, kNow + Seconds(i));
    for (int i = 0; i < 1000; ++i)
      store->PutFailure("d" + std::to_string(i) + ".example", SomeFailure());
  }
  Close();
  EXPECT_TRUE(AfterCrash("d999.example").failure);
}

TEST_F(DurableStoreTest, ClosingWritesWhatIsLeft) {
  {
    const HangingDisk disk;
    for (int i = 0; i < 100; ++i)
      store->PutFailure("d" + std::to_string(i) + ".example", SomeFailure());
    StartPut("a.example");
  }
  Close();
  Open();
  EXPECT_EQ(Told(Find("a.example")), Told({SomePolicy(), {}}));
  EXPECT_EQ(Told(Find("d99.example")), Told({{}, SomeFailure()}));
}

class DurableStoreWatchTest : public DurableStoreTest {
 protected:
  DurableStoreWatchTest() {
    DurableStore::OnPurged on_purged = [this](const std::string& domain) {
      purged.push_back(domain);
      if (domain.empty()) throw std::runtime_error("enough");
    };
    boost::asio::co_spawn(world.loop, store->Watch(std::move(on_purged)),
                          [this](const std::exception_ptr&) { ended = true; });
    world.clock.RunReady();
  }
  // The watch has no end of its own.
  void TearDown() override {
    Purge("");
    NextLook();
    WaitUntil(world, [this] { return ended; });
    DurableStoreTest::TearDown();
  }
  void Purge(const std::string& domain) {
    auto beside = PolicyFileBeside::Open(
        folder.path(), PolicyFileBeside::Access::kPurge, world.metrics);
    ASSERT_TRUE(beside);
    ASSERT_TRUE((*beside)->Purge(domain, kNow + 1h));
  }
  void NextLook() {
    world.Pass(1s);
    Wait(StartPut("x.example"));  // and what came before
  }

  std::vector<std::string> purged;
  bool ended = false;
};

TEST_F(DurableStoreWatchTest, TellsOfPurgesFromBeside) {
  Wait(StartPut("a.example"));
  Purge("a.example");
  NextLook();
  EXPECT_EQ(purged, std::vector<std::string>{"a.example"});
  NextLook();
  EXPECT_EQ(purged.size(), 1u);
}

TEST_F(DurableStoreWatchTest, WritesWhatAFullDiskRefused) {
  {
    const FullDisk full;
    Wait(StartPut("a.example"));
    EXPECT_EQ(Told(Find("a.example")), Told({SomePolicy(), {}}));
  }
  EXPECT_EQ(Told(AfterCrash("a.example")), "nothing");
  NextLook();
  EXPECT_EQ(Told(AfterCrash("a.example")), Told({SomePolicy(), {}}));
}

TEST_F(DurableStoreTest, ManyAtOnceDoNotGetInEachOthersWay) {
  std::vector<Started<bool>> puts;
  for (int i = 0; i < 500; ++i) {
    const std::string domain = "d" + std::to_string(i % 50) + ".example";
    puts.push_back(StartPut(domain));
    Find(domain);
    store->NoteUse(domain, kNow, kNow + 1h);
  }
  for (const auto& put : puts) Wait(put);
  for (int i = 0; i < 50; ++i)
    EXPECT_TRUE(Find("d" + std::to_string(i) + ".example").policy);
}

}  // namespace
}  // namespace postern

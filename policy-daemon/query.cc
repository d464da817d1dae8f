#include "policy-daemon/query.h"

#include <cstdio>
#include <cstdlib>

#include <boost/asio/io_context.hpp>

#include "common/accounts.h"
#include "common/text.h"

#include "policy-daemon/engine.h"
#include "policy-daemon/query_text.h"
#include "policy-daemon/socketmap.h"

namespace postern {
namespace {

// The reply inside its netstring.
std::string Payload(const std::string& netstring) {
  const size_t colon = netstring.find(':');
  return netstring.substr(colon + 1, netstring.size() - colon - 2);
}

int ExitCode(const QueryResult& result) {
  if (result.decision.verdict == Verdict::kTemp) return 75;
  return HasProblem(result.facts) ? 1 : 0;
}

constexpr Seconds kPatience{3};

// A policy host may take its time: whoever waits sees that we do, too.
Awaitable<void> TellOfWaiting(Engine& engine, boost::asio::io_context& loop,
                              std::string key) {
  for (;;) {
    Event pause(loop.get_executor(), *engine.clock);
    co_await pause.WaitUntil(engine.clock->Now() + kPatience);
    std::fprintf(stderr, "postern-policy: still looking up %s ...\n",
                 key.c_str());
  }
}

Awaitable<void> Explain(Engine& engine, const CommandLine& line, PolicyKey key,
                        int* exit_code) {
  // The probe decides whether DANE can be judged at all.
  co_await engine.resolver->Probe();
  const std::shared_ptr<Lookup> lookup =
      co_await engine.service.Explain(std::move(key));
  if (!lookup || !lookup->decision()) {
    std::fprintf(stderr, "postern-policy: the lookup did not end\n");
    *exit_code = 75;
    co_return;
  }
  const Options::Policy& policy = line.options.policy;
  const Replies replies =
      BuildReplies(lookup->facts(), *lookup->decision(),
                   {policy.testing_reply_may, policy.site_level});
  QueryResult result;
  result.facts = lookup->facts();
  result.decision = *lookup->decision();
  result.reply = Payload(replies.text[0]);
  result.tlsrpt_reply = Payload(replies.text[1]);
  result.resolver_validates = engine.resolver->Validates();
  result.now = engine.clock->WallNow();
  const std::string text =
      line.json ? QueryAsJson(result) : QueryAsText(result);
  std::fputs(text.c_str(), stdout);
  *exit_code = ExitCode(result);
}

}  // namespace

int Query(const CommandLine& line) {
  const std::string& asked = line.arguments.front();
  const auto key = ParsePolicyKey(asked, LoadServicePorts());
  if (!key && line.json) {
    std::printf(
        "{\n  \"reply\": \"NOTFOUND \",\n  \"because\": "
        "\"not a domain or host to look up\"\n}\n");
    return 2;
  }
  if (!key) {
    std::printf(
        "%s\n  Postfix gets    NOTFOUND\n  because         this is no "
        "domain or host to look up (an address, a parent key, or not "
        "a valid name)\n",
        Printable(asked).c_str());
    return 2;
  }
  boost::asio::io_context loop(1);
  auto configuration = LoadConfiguration(line.options);
  if (!configuration) {
    std::fprintf(stderr, "postern-policy: %s\n",
                 configuration.error().message.c_str());
    return 2;
  }
  // What strangers send is not for root to read.
  if (const Status become = Become(PolicyCommandAccount(line.options));
      !become) {
    std::fprintf(stderr, "postern-policy: %s\n",
                 become.error().message.c_str());
    return 2;
  }
  auto engine =
      Engine::Create(loop, std::move(*configuration), Engine::Memory::kBeside);
  if (!engine) {
    std::fprintf(stderr, "postern-policy: %s\n",
                 engine.error().message.c_str());
    return 2;
  }
  if (const Override* own = (*engine)->service.OverrideFor(*key);
      own && !own->reply.empty()) {
    const OverrideResult result{key->ToString(), Payload(own->reply),
                                line.options.policy.overrides, own->line};
    const std::string text =
        line.json ? OverrideAsJson(result) : OverrideAsText(result);
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    std::_Exit(0);
  }
  Spawn(loop.get_executor(), TellOfWaiting(**engine, loop, key->ToString()));
  int exit_code = 75;
  boost::asio::co_spawn(loop, Explain(**engine, line, *key, &exit_code),
                        [&](const std::exception_ptr& failed) {
                          if (failed) std::rethrow_exception(failed);
                          loop.stop();
                        });
  loop.run();
  std::fflush(stdout);
  // What still waits (an idle timer) would outlive what it refers to.
  std::_Exit(exit_code);
}

}  // namespace postern

// Stream endpoints of the bench programs: `unix:PATH` or `inet:HOST:PORT`,
// spelled as Postfix and postern.conf spell them.
//
// Contract: every function ends the program with a message on stderr when it
// fails; a bench that cannot open its sockets has nothing to measure.

#ifndef TESTS_BENCH_ENDPOINT_H_
#define TESTS_BENCH_ENDPOINT_H_

#include <string>

// Prints "what: strerror(errno)" and exits with status 1.
[[noreturn]] void DieErrno(const std::string& what);

// Prints `message` and exits with status 2 (usage).
[[noreturn]] void DieUsage(const std::string& message);

// A non-blocking listening socket. A stale unix socket file is replaced.
int Listen(const std::string& endpoint);

// A connected, non-blocking socket; waits while the server's backlog is full.
int Connect(const std::string& endpoint);

// Raises the soft limit of open files to the hard one.
void RaiseFileLimit();

#endif  // TESTS_BENCH_ENDPOINT_H_

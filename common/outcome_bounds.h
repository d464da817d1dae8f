// How much of what strangers chose a line of the spool holds.
//
// A domain's owner writes its policy, its record, and part of why a session
// failed. Every line is at most kMaxLineBytes long, so that one mail costs a
// known amount of disk:
//
//   policy-string    32 strings, 5 KiB; then "(N more)" for those left out
//   mx-host          32 patterns, 1.5 KiB
//   failure-details  10 of them, 2.5 KiB; the others are counted together, by
//                    result type (kTooManyDetails)
//   record           4 KiB, or none: a cut one would name another address
//
// Bytes are those of the line: a string that has to be escaped counts six
// times. A string that does not fit is left out whole. Sessions stay exact.
//
// Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/outcome.h"

namespace postern {

inline constexpr size_t kMaxLineBytes = 16 << 10;
inline constexpr size_t kKeptStrings = 32;
inline constexpr size_t kKeptStringBytes = 5 << 10;
inline constexpr size_t kKeptHosts = 32;
inline constexpr size_t kKeptHostBytes = 1536;
inline constexpr size_t kKeptDetails = 10;
inline constexpr size_t kKeptDetailBytes = 2560;

// Of the fields, as ours are filled; readers cut what others wrote to as much.
inline constexpr size_t kMaxRecordBytes = 4096;  // a few URIs: ten times over
inline constexpr size_t kMaxHeloBytes = 255;     // RFC 5321 section 4.5.3.1.2
inline constexpr size_t kMaxReasonBytes = 255;   // a word or a sentence
inline constexpr size_t kMaxInformationBytes = 1024;  // mostly a URI

// The outcome, within the bounds above.
void BoundOutcome(Outcome& outcome);

// A policy's strings alone, for who keeps them in memory.
void BoundPolicyStrings(std::vector<std::string>& strings);

// Details from the one at `first` on, counted together by result type.
void MergeDetails(Outcome& outcome, size_t first = 0);

// What a later line of the day says in place of policy-string and mx-host:
// 16 hexadecimal digits (docs/spool-format.md, "policy-digest"); "" for an
// outcome without either.
std::string PolicyDigest(const Outcome& outcome);

}  // namespace postern

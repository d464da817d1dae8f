// Who owns a name: the registrable domain above it, by the Public Suffix List.
//
// What one owner may take of something shared is counted by it: the names of
// a.example.co.uk and b.example.co.uk have one owner, those of a.co.uk and
// b.co.uk have two.
//
// Contract: thread-safe; some microseconds; never fails. The list is the
// system's newest (package publicsuffix), else the one built into libpsl. Only
// public_suffix.cc includes libpsl.
#pragma once

#include <string_view>

namespace postern {

// Reads the list now; else whoever asks first reads the file. For programs
// whose loop must not block.
void LoadPublicSuffixes();

// The public suffix of `name` and one label more, a part of `name`. A name that
// is itself a public suffix, or has one label, is its own owner. `name` in the
// inside form of domain_name.h.
std::string_view RegistrableDomain(std::string_view name);

// True for com, co.uk, github.io: names below which strangers register theirs.
// (A top-level domain that the list does not know is one, too.)
bool IsPublicSuffix(std::string_view name);

}  // namespace postern

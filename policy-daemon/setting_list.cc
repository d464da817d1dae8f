#include "policy-daemon/setting_list.h"

#include <algorithm>

namespace postern {
namespace {

constexpr std::string_view kSeparators = ", \t\r\n";

// Where the entry at the beginning of `text` ends.
size_t EndOfEntry(std::string_view text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}') --depth;
    if (depth <= 0 && kSeparators.find(text[i]) != kSeparators.npos) return i;
  }
  return text.size();
}

// Pieces in turn: separators (maybe ""), entry, ..., separators.
std::vector<std::string_view> PiecesOf(std::string_view list) {
  std::vector<std::string_view> pieces;
  for (;;) {
    const size_t begin =
        std::min(list.find_first_not_of(kSeparators), list.size());
    pieces.push_back(list.substr(0, begin));
    list.remove_prefix(begin);
    if (list.empty()) return pieces;
    const size_t end = EndOfEntry(list);
    pieces.push_back(list.substr(0, end));
    list.remove_prefix(end);
  }
}

// Takes an entry out: of the separators around it, those before stay if it was
// the last, and those after otherwise.
void TakeOut(std::vector<std::string_view>& pieces, size_t entry) {
  const bool is_last = entry + 2 == pieces.size();
  const auto at = pieces.begin() + static_cast<std::ptrdiff_t>(entry);
  if (is_last && entry > 1)
    pieces.erase(at - 1, at + 1);
  else
    pieces.erase(at, at + 2);
}

std::string Joined(const std::vector<std::string_view>& pieces) {
  std::string list;
  for (std::string_view piece : pieces) list += piece;
  return list;
}

}  // namespace

std::vector<std::string_view> EntriesOf(std::string_view list) {
  const auto pieces = PiecesOf(list);
  std::vector<std::string_view> entries;
  for (size_t i = 1; i < pieces.size(); i += 2) entries.push_back(pieces[i]);
  return entries;
}

bool HasEntry(std::string_view list, const IsEntry& is_wanted) {
  const auto entries = EntriesOf(list);
  return std::any_of(entries.begin(), entries.end(), is_wanted);
}

std::string Appended(std::string_view list, std::string_view entry) {
  const std::string before(list);
  return EntriesOf(list).empty() ? std::string(entry)
                                 : before + ", " + std::string(entry);
}

std::string Prepended(std::string_view list, std::string_view entry) {
  const std::string first(entry);
  return EntriesOf(list).empty() ? first : first + ", " + std::string(list);
}

std::string Replaced(std::string_view list, const IsEntry& is_old,
                     std::string_view entry) {
  auto pieces = PiecesOf(list);
  bool placed = false;
  for (size_t i = 1; i < pieces.size();) {
    if (!is_old(pieces[i])) {
      i += 2;
    } else if (placed) {
      TakeOut(pieces, i);
    } else {
      placed = true;
      pieces[i] = entry;
      i += 2;
    }
  }
  return Joined(pieces);
}

std::string Without(std::string_view list, const IsEntry& is_old) {
  auto pieces = PiecesOf(list);
  for (size_t i = 1; i < pieces.size();) {
    if (is_old(pieces[i]))
      TakeOut(pieces, i);
    else
      i += 2;
  }
  return Joined(pieces);
}

}  // namespace postern

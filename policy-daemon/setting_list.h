// A setting of Postfix that is a list, edited without touching the rest of its
// text: entries are separated by commas and blanks, and those within braces
// belong to the entry ("inline:{a=b, c=d}", "{ unix:x, default_action=y }").
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

using IsEntry = std::function<bool(std::string_view entry)>;

std::vector<std::string_view> EntriesOf(std::string_view list);

bool HasEntry(std::string_view list, const IsEntry& is_wanted);

std::string Appended(std::string_view list, std::string_view entry);
std::string Prepended(std::string_view list, std::string_view entry);

// `entry` in the place of the first that `is_old`; the others of them go.
std::string Replaced(std::string_view list, const IsEntry& is_old,
                     std::string_view entry);

// Without those that `is_old`, and without what separated them.
std::string Without(std::string_view list, const IsEntry& is_old);

}  // namespace postern

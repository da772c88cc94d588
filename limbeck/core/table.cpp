#include "limbeck/core/table.h"

#include <algorithm>
#include <numeric>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kMinElidedWidth = 12;

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

// The bytes of the first `width` code points.
std::size_t prefix_bytes(std::string_view text, std::size_t width) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (starts_code_point(text[i]) && count++ == width) return i;
  return text.size();
}

// What names, paths and zoo names with options may be broken after.
constexpr std::string_view kSeparators = "./-_,=?&:";

// Where a line that is full of one word ends: after its last separator, else at its end.
std::size_t word_break(std::string_view line) {
  const std::size_t separator = line.find_last_of(kSeparators);
  return separator == std::string_view::npos || separator == 0 ? line.size() : separator + 1;
}

// The parts of a text that stand on one line: words, and of words what ends in a separator, each with that and the
// spaces after it.
std::vector<std::string_view> pieces_of(std::string_view text) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const std::size_t end = text.find_first_of(std::string(kSeparators) + " ");
    const std::size_t next = end == std::string_view::npos ? end : text.find_first_not_of(' ', end + 1);
    const std::size_t size = std::min(next, text.size());
    pieces.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return pieces;
}

std::string_view without_spaces_after(std::string_view piece) {
  return piece.substr(0, piece.find_last_not_of(' ') + 1);
}

std::size_t widest_piece(std::string_view text) {
  std::size_t widest = 0;
  for (const std::string_view piece : pieces_of(text))
    widest = std::max(widest, display_width(without_spaces_after(piece)));
  return widest;
}

// Lines of a cell in which no piece is broken: those that are too long lose their middles.
std::vector<std::string> wrap_cell(std::string_view text, std::size_t width) {
  std::string fitting;
  for (const std::string_view piece : pieces_of(text)) {
    const std::string_view shown = without_spaces_after(piece);
    fitting += elide_middle(shown, width);
    fitting += piece.substr(shown.size());
  }
  return wrap(fitting, width);
}

std::string pad(const std::string& text, std::size_t width, Table::Align align) {
  const std::string spaces(width - std::min(width, display_width(text)), ' ');
  return align == Table::Align::left ? text + spaces : spaces + text;
}

std::size_t line_width(const std::vector<std::size_t>& widths) {
  return std::accumulate(widths.begin(), widths.end(), kGap * (widths.size() - 1));
}

// Takes columns off the widest column that is above its floor until the line fits or nothing more can be taken.
void shrink(std::vector<std::size_t>& widths, const std::vector<std::size_t>& floors, std::size_t width) {
  while (line_width(widths) > width) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (widths[i] > floors[i] && (widest == nullptr || widths[i] > *widest)) widest = &widths[i];
    }
    if (widest == nullptr) return;
    --*widest;
  }
}

std::string escape_markdown(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '|') result += '\\';
    if (c == '\n')
      result += "<br>";
    else
      result += c;
  }
  return result;
}

}  // namespace

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  while (display_width(text) > width) {
    const std::size_t limit = prefix_bytes(text, width);
    const std::size_t space = text.rfind(' ', limit);
    const bool at_space = space != std::string_view::npos && space > 0;
    const std::size_t end = at_space ? space : word_break(text.substr(0, limit));
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(at_space ? end + 1 : end);
  }
  lines.emplace_back(text);
  return lines;
}

std::string elide_middle(std::string_view text, std::size_t width) {
  const std::size_t all = display_width(text);
  if (all <= width) return std::string(text);
  if (width == 0) return {};
  const std::size_t tail = (width - 1) / 2, head = width - 1 - tail;
  return std::string(text.substr(0, prefix_bytes(text, head))) + "…" +
         std::string(text.substr(prefix_bytes(text, all - tail)));
}

std::string truncate_to_width(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  return width == 0 ? std::string() : std::string(text.substr(0, prefix_bytes(text, width - 1))) + "…";
}

void Table::add_row(std::vector<std::string> cells) {
  LIMBECK_CHECK(cells.size() == columns_.size(), "[table] a row needs {} cells, got {}", columns_.size(), cells.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> Table::column_widths(std::size_t width) const {
  std::vector<std::size_t> widths, whole_pieces, least;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const bool wraps = columns_[i].align == Align::left;
    widths.push_back(display_width(columns_[i].title));
    whole_pieces.push_back(widest_piece(columns_[i].title));
    for (const auto& row : rows_) {
      widths[i] = std::max(widths[i], display_width(row[i]));
      whole_pieces[i] = std::max(whole_pieces[i], wraps ? widest_piece(row[i]) : display_width(row[i]));
    }
    least.push_back(wraps ? std::min(kMinElidedWidth, whole_pieces[i]) : whole_pieces[i]);
  }
  shrink(widths, whole_pieces, width);
  shrink(widths, least, width);
  return widths;
}

std::string Table::text(std::size_t width) const {
  if (columns_.empty()) return "";
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  const std::vector<std::size_t> widths = column_widths(width);

  std::string result;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::vector<std::vector<std::string>> wrapped;
    std::size_t num_lines = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      wrapped.push_back(wrap_cell(cells[i], widths[i]));
      num_lines = std::max(num_lines, wrapped.back().size());
    }
    for (std::size_t line = 0; line < num_lines; ++line) {
      std::string text;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string cell = line < wrapped[i].size() ? wrapped[i][line] : "";
        text += (i > 0 ? std::string(kGap, ' ') : "") + pad(cell, widths[i], columns_[i].align);
      }
      text.erase(text.find_last_not_of(' ') + 1);
      result += text + "\n";
    }
  };
  add(titles);
  result += std::string(line_width(widths), '-') + "\n";
  for (const auto& row : rows_) add(row);
  return result;
}

std::string Table::markdown() const {
  std::string result;
  const auto add = [&](const auto& cells, const auto& to_text) {
    result += "|";
    for (const auto& cell : cells) result += " " + to_text(cell) + " |";
    result += "\n";
  };
  add(columns_, [](const Column& column) { return escape_markdown(column.title); });
  add(columns_, [](const Column& column) { return std::string(column.align == Align::left ? "---" : "---:"); });
  for (const auto& row : rows_) add(row, escape_markdown);
  return result;
}

}  // namespace limbeck::core

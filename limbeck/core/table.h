// Plain tables: aligned text for terminals and Markdown for reports, from the same rows.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace limbeck::core {

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::right;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Throws InvalidArgument unless there is a cell per column.
  void add_row(std::vector<std::string> cells);

  std::size_t num_rows() const { return rows_.size(); }

  /// Columns two spaces apart under their titles and a rule. Where the lines would be wider than `width`, titles and
  /// the text of left-aligned columns, widest first, wrap at spaces and after the separators of names; where that is
  /// not enough, what has none loses its middle. Numbers never wrap. Ends with a newline.
  std::string text(std::size_t width = 80) const;

  /// A Markdown table; '|' and line breaks in cells are escaped.
  std::string markdown() const;

 private:
  std::vector<std::size_t> column_widths(std::size_t width) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Columns that `text` takes on a terminal: code points of UTF-8 (combining and double-width ones are not told apart).
std::size_t display_width(std::string_view text);

/// Lines of at most `width` columns, broken at spaces. Words longer than a line are broken after a separator of names
/// and paths, one of . / - _ , = ? & : and only where there is none anywhere. width > 0.
std::vector<std::string> wrap(std::string_view text, std::size_t width);

/// The text if it fits into `width` columns, else its beginning, "…" and its end.
std::string elide_middle(std::string_view text, std::size_t width);

/// The text if it fits into `width` columns, else its beginning and "…".
std::string truncate_to_width(std::string_view text, std::size_t width);

}  // namespace limbeck::core

#include "client/cli/table.h"

#include <algorithm>

namespace strata::cli {
namespace {

constexpr size_t kGap = 2;

void Append(const Terminal& terminal, const Table::Cell& cell, size_t width, Table::Align align, bool last,
            std::string* line) {
  const std::string fill(width - std::min(width, Columns(cell.text)), ' ');
  if (align == Table::Align::kRight) *line += fill;
  *line += terminal.Paint(cell.style, cell.text);
  if (align == Table::Align::kLeft && !last) *line += fill;
  if (!last) line->append(kGap, ' ');
}

}  // namespace

void Table::Add(std::vector<Cell> row) {
  for (Cell& cell : row) cell.text = Printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::Render(const Terminal& terminal) const {
  std::vector<size_t> widths;
  std::vector<Cell> titles;
  for (const Column& column : columns_) {
    widths.push_back(Columns(column.title));
    titles.push_back({column.title, Style::kDim});
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i].text));
  }
  std::string text;
  const auto append_row = [&](const std::vector<Cell>& row) {
    size_t filled = row.size();  // empty cells at the end leave no blanks
    while (filled > 1 && row[filled - 1].text.empty()) --filled;
    std::string line;
    for (size_t i = 0; i < filled; ++i) {
      Append(terminal, row[i], widths[i], columns_[i].align, i + 1 == filled, &line);
    }
    text += line + "\n";
  };
  append_row(titles);
  for (const auto& row : rows_) append_row(row);
  return text;
}

}  // namespace strata::cli

#pragma once
// An aligned text table.

#include <string>
#include <vector>

#include "client/cli/terminal.h"

namespace strata::cli {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  struct Cell {
    std::string text;
    Style style = Style::kPlain;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Texts are made printable. REQUIRES: one cell a column.
  void Add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }

  // Title line and rows; no trailing blanks on any line.
  std::string Render(const Terminal& terminal) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace strata::cli

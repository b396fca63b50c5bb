#include <cstdio>

#include "client/cli/table.h"
#include "client/cli/terminal.h"
#include "gtest/gtest.h"

namespace strata::cli {
namespace {

std::string ReadAll(FILE* file) {
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

TEST(Terminal, OutsideATerminalThereAreNoColoursAndNoStatusLine) {
  FILE* file = std::tmpfile();
  {
    Terminal terminal(file);
    terminal.SetStatus("working");
    terminal.Print(terminal.Paint(Style::kGood, "PASS"));
    terminal.SetStatus("still working");
  }
  EXPECT_EQ(ReadAll(file), "PASS\n");
  std::fclose(file);
}

TEST(Terminal, CuttingCountsColumnsNotBytes) {
  EXPECT_EQ(CutToColumns("├─ block", 20), "├─ block");
  EXPECT_EQ(CutToColumns("├─ block", 5), "├─ b…");
  EXPECT_EQ(Columns("├─ ×4"), 5u);
}

TEST(Text, Utf8IsToldFromOtherBytes) {
  for (const char* text : {"", "mlp", "модель", "├─", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(text)) << text;
  for (const char* text : {"\xff", "a\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                           "\xf4\x90\x80\x80", "\xf0\x9f\x98"}) {
    EXPECT_FALSE(IsUtf8(text)) << Printable(text);
  }
}

TEST(Text, PrintableLeavesTheTerminalAlone) {
  EXPECT_EQ(Printable("модель ├─\t×4"), "модель ├─\t×4");
  EXPECT_EQ(Printable("\033[2J\nPASS\x7f"), "\\x1b[2J\\x0aPASS\\x7f");
  EXPECT_EQ(Printable("a\xff"
                      "b\xc2\x9b"),
            "a\\xffb\\xc2\\x9b");
  EXPECT_EQ(Printable("a\nb\r", /*keep_lines=*/true), "a\nb\\x0d");
}

TEST(Table, ColumnsAlignAndLinesEndWithoutBlanks) {
  FILE* file = std::tmpfile();
  const Terminal terminal(file);
  Table table({{"step"}, {"max_diff", Table::Align::kRight}, {"note"}});
  table.Add({{"step_1_mlp_to_kernels"}, {"0"}, {""}});
  table.Add({{"×"}, {"1.5e-06"}, {"see log"}});
  EXPECT_EQ(table.Render(terminal),
            "step                   max_diff  note\n"
            "step_1_mlp_to_kernels         0\n"
            "×                       1.5e-06  see log\n");
  std::fclose(file);
}

}  // namespace
}  // namespace strata::cli

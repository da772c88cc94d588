#include "limbeck/core/table.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

Table example() {
  Table table({{"model", Table::Align::left}, {"top-1"}, {"size"}});
  table.add_row({"teacher", "91.34 %", "1.20 MiB"});
  table.add_row({"größe", "87.0 %", "80 KiB"});
  return table;
}

TEST(Table, AlignsColumns) {
  EXPECT_EQ(example().text(),
            "model      top-1      size\n"
            "--------------------------\n"
            "teacher  91.34 %  1.20 MiB\n"
            "größe     87.0 %    80 KiB\n");
}

TEST(Table, WrapsTextAndNotNumbers) {
  Table table({{"reason", Table::Align::left}, {"n"}});
  table.add_row({"an op without a trait is a barrier", "12"});
  table.add_row({"unbreakablewordofmanyletters", "3"});
  EXPECT_EQ(table.text(20),
            "reason             n\n"
            "--------------------\n"
            "an op without a   12\n"
            "trait is a\n"
            "barrier\n"
            "unbreaka…letters   3\n");
}

TEST(Table, KeepsPiecesOfNamesWholeAsLongAsTheyFit) {
  Table table({{"scope", Table::Align::left}, {"type", Table::Align::left}, {"share of MACs"}});
  table.add_row({"features.denseblock4.denselayer16.conv2", "Conv2dNormActivation", "12.5 %"});
  EXPECT_EQ(table.text(48),
            "scope          type                     share of\n"
            "                                            MACs\n"
            "------------------------------------------------\n"
            "features.      Conv2dNormActivation       12.5 %\n"
            "denseblock4.\n"
            "denselayer16.\n"
            "conv2\n");
}

TEST(ElideMiddle, KeepsBothEnds) {
  EXPECT_EQ(elide_middle("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(elide_middle("abcdefgh", 6), "abc…gh");
  EXPECT_EQ(elide_middle("äöüßéèêë", 4), "äö…ë");
  EXPECT_EQ(elide_middle("abc", 1), "…");
  EXPECT_EQ(elide_middle("abc", 0), "");
}

TEST(Wrap, BreaksNamesAfterTheirSeparators) {
  EXPECT_EQ(wrap("features.denseblock1.denselayer1.conv2", 20),
            (std::vector<std::string>{"features.", "denseblock1.", "denselayer1.conv2"}));
  EXPECT_EQ(wrap("see /a/long/path/of/some-file", 12),
            (std::vector<std::string>{"see", "/a/long/", "path/of/", "some-file"}));
}

TEST(Table, IsMarkdownToo) {
  Table table({{"a|b", Table::Align::left}, {"n"}});
  table.add_row({"x\ny", "1"});
  EXPECT_EQ(table.markdown(), "| a\\|b | n |\n| --- | ---: |\n| x<br>y | 1 |\n");
}

TEST(Table, HandlesNoRowsAndNoColumns) {
  EXPECT_EQ(Table({{"a"}}).text(), "a\n-\n");
  EXPECT_EQ(Table({}).text(), "");
  EXPECT_THROW(example().add_row({"too", "few"}), InvalidArgument);
}

TEST(TruncateToWidth, CutsByColumnsAndMarksTheCut) {
  EXPECT_EQ(truncate_to_width("12 µs left", 10), "12 µs left");
  EXPECT_EQ(truncate_to_width("12 µs left", 5), "12 µ…");
  EXPECT_EQ(truncate_to_width("12", 1), "…");
  EXPECT_EQ(truncate_to_width("12", 0), "");
  EXPECT_EQ(truncate_to_width("", 0), "");
}

}  // namespace
}  // namespace limbeck::core

// Tensor files: what is written is read back bit for bit, and no file can crash the reader.

#include "worker/engine/host/tensor_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>

#include "ATen/ATen.h"
#include "tests/engine/host/fixture.h"
#include "worker/engine/host/tensor_header.h"

namespace strata::host {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class TensorFileTest : public HostTest {
 protected:
  TensorFile RoundTrip(const TensorFile& file) {
    const std::string path = dir() + "/t.bin";
    EXPECT_TRUE(WriteTensorFile(path, file).ok());
    auto read = ReadTensorFile(path);
    EXPECT_TRUE(read.ok()) << read.status();
    return *std::move(read);
  }

  // A file of one 2x3 float tensor whose header went through `change`.
  absl::Status ReadChanged(const std::function<void(json&)>& change) {
    const std::string path = dir() + "/changed.bin";
    TensorFile file;
    file.tensors.emplace_back("x", at::ones({2, 3}));
    file.trees["args"] = {{"kind", "tuple"}, {"items", {{{"kind", "tensor"}, {"index", 0}}}}};
    EXPECT_TRUE(WriteTensorFile(path, file).ok());
    std::string bytes = *ReadFile(path);
    uint64_t length = 0;
    memcpy(&length, bytes.data() + 8, 8);
    json header = json::parse(bytes.substr(16, length));
    const std::string data = bytes.substr(static_cast<size_t>(AlignUp(16 + static_cast<int64_t>(length))));
    change(header);
    std::string changed = Prologue(header.dump()) + header.dump();
    changed.resize(static_cast<size_t>(AlignUp(static_cast<int64_t>(changed.size()))));
    EXPECT_TRUE(WriteFile(path, changed + data).ok());
    return ReadTensorFile(path).status();
  }
};

TEST_F(TensorFileTest, StridesOffsetsAndAliasesSurvive) {
  const at::Tensor base = at::arange(24, at::kFloat).view({4, 6});
  TensorFile file;
  file.tensors = {{"base", base},
                  {"transposed", base.t()},
                  {"row", base[2]},
                  {"expanded", base[0][1].expand({3, 5})},
                  {"other", base.clone()}};
  const TensorFile read = RoundTrip(file);
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const at::Tensor &want = file.tensors[i].second, &got = read.tensors[i].second;
    EXPECT_EQ(read.tensors[i].first, file.tensors[i].first);
    EXPECT_EQ(got.strides(), want.strides());
    EXPECT_EQ(got.storage_offset(), want.storage_offset());
    EXPECT_TRUE(at::equal(got, want));
    EXPECT_EQ(read.devices[i], "cpu");
  }
  EXPECT_TRUE(read.tensors[0].second.is_alias_of(read.tensors[2].second));
  EXPECT_FALSE(read.tensors[0].second.is_alias_of(read.tensors[4].second));
  read.tensors[2].second.fill_(-1);
  EXPECT_EQ(read.tensors[0].second[2][3].item<float>(), -1);
}

TEST_F(TensorFileTest, AFileThatIsReadAndWrittenStillSaysWhereItsTensorsLived) {
  TensorFile file;
  file.tensors.emplace_back("there", at::ones({2}));
  file.tensors.emplace_back("here", at::ones({2}));
  file.devices = {"cuda"};  // as reading a file of an accelerator gives it
  EXPECT_EQ(RoundTrip(file).devices, (std::vector<std::string>{"cuda", "cpu"}));
}

TEST_F(TensorFileTest, EveryDTypeAndEmptyShapesSurvive) {
  TensorFile file;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                          at::kChar, at::kByte, at::kBool, at::kComplexFloat, at::kComplexDouble}) {
    file.tensors.emplace_back("t", at::arange(5).to(type));
  }
  file.tensors.emplace_back("scalar", at::scalar_tensor(3.5));
  file.tensors.emplace_back("empty", at::empty({0, 4}));
  const TensorFile read = RoundTrip(file);
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    EXPECT_EQ(read.tensors[i].second.scalar_type(), file.tensors[i].second.scalar_type());
    EXPECT_EQ(read.tensors[i].second.sizes(), file.tensors[i].second.sizes());
    EXPECT_TRUE(at::equal(read.tensors[i].second, file.tensors[i].second));
  }
}

TEST_F(TensorFileTest, ValuesThatComparisonHidesSurvive) {
  const at::Tensor odd = at::tensor({-0.0f, std::nanf("7"), INFINITY, 1e-42f});
  const at::Tensor conjugate = at::complex(at::ones({3}), at::arange(3, at::kFloat)).conj();
  const TensorFile read = RoundTrip({.tensors = {{"odd", odd}, {"conjugate", conjugate}}});
  EXPECT_EQ(memcmp(read.tensors[0].second.const_data_ptr(), odd.const_data_ptr(), 16), 0);
  EXPECT_TRUE(at::equal(read.tensors[1].second, conjugate.resolve_conj()));
}

TEST_F(TensorFileTest, WritingIntoAReadTensorDoesNotChangeTheFile) {
  RoundTrip({.tensors = {{"x", at::zeros({4})}}}).tensors[0].second.fill_(9);
  EXPECT_TRUE(at::equal(ReadTensorFile(dir() + "/t.bin")->tensors[0].second, at::zeros({4})));
}

TEST_F(TensorFileTest, TensorsOutliveTheFileTheyCameFrom) {
  at::Tensor kept;
  {
    TensorFile read = RoundTrip({.tensors = {{"x", at::ones({1 << 16})}}});
    kept = read.tensors[0].second;
  }
  ASSERT_EQ(unlink((dir() + "/t.bin").c_str()), 0);
  EXPECT_EQ(kept.sum().item<float>(), 1 << 16);
}

TEST_F(TensorFileTest, WhatHasNoPlainMemoryIsRefusedByName) {
  const absl::Status status =
      WriteTensorFile(dir() + "/s.bin", {.tensors = {{"out[1]", at::eye(3).to_sparse()}}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("out[1] is a sparse tensor"));
}

TEST_F(TensorFileTest, EveryTruncationIsRefused) {
  const std::string path = dir() + "/t.bin";
  RoundTrip({.tensors = {{"x", at::ones({20})}, {"y", at::ones({3})}}});
  const std::string whole = *ReadFile(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    ASSERT_TRUE(WriteFile(path, whole.substr(0, size)).ok());
    const auto read = ReadTensorFile(path);
    // Only the padding after the last storage may be missing.
    if (read.ok()) {
      EXPECT_GE(size, whole.size() - 64 + 12);
    } else {
      EXPECT_THAT(std::string(read.status().message()), HasSubstr("t.bin is no valid tensor file"));
    }
  }
}

TEST_F(TensorFileTest, NoFlippedByteOfTheHeaderCrashesTheReader) {
  const std::string path = dir() + "/t.bin";
  TensorFile file{.tensors = {{"x", at::ones({2, 3})}, {"y", at::ones({2, 2}, at::kLong).t()}}};
  file.trees["args"] = {{"kind", "tuple"}, {"items", {{{"kind", "tensor"}, {"index", 1}}}}};
  ASSERT_TRUE(WriteTensorFile(path, file).ok());
  const std::string whole = *ReadFile(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int mask : {1, 128}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ mask);
      ASSERT_TRUE(WriteFile(path, changed).ok());
      const auto read = ReadTensorFile(path);
      if (!read.ok()) continue;
      for (const auto& [name, tensor] : read->tensors) at::sum(tensor.contiguous().to(at::kDouble));
    }
  }
}

TEST_F(TensorFileTest, ShapesThatReachOutsideAreRefused) {
  const auto set = [&](const char* key, json value) {
    return ReadChanged([&](json& header) { header["tensors"][0][key] = value; });
  };
  EXPECT_TRUE(ReadChanged([](json&) {}).ok());
  EXPECT_FALSE(set("sizes", {2, 4}).ok());
  EXPECT_FALSE(set("sizes", {2}).ok());
  EXPECT_FALSE(set("sizes", {-2, 3}).ok());
  EXPECT_FALSE(set("sizes", {2, 3.5}).ok());
  EXPECT_FALSE(set("sizes", "23").ok());
  EXPECT_FALSE(set("strides", {3, 2}).ok());
  EXPECT_FALSE(set("strides", {-3, 1}).ok());
  EXPECT_FALSE(set("strides", {INT64_MAX, 1}).ok());
  EXPECT_FALSE(set("storage_offset", 1).ok());
  EXPECT_FALSE(set("storage_offset", -1).ok());
  EXPECT_FALSE(set("storage_offset", UINT64_MAX).ok());
  EXPECT_FALSE(set("storage", 1).ok());
  EXPECT_FALSE(set("dtype", "float65").ok());
  EXPECT_FALSE(set("dtype", "float64").ok());
  EXPECT_FALSE(set("name", 3).ok());
  const auto huge = ReadChanged([](json& header) {
    header["tensors"][0]["sizes"] = {int64_t{1} << 40, int64_t{1} << 40};
    header["tensors"][0]["strides"] = {0, 0};
  });
  EXPECT_FALSE(huge.ok());
}

TEST_F(TensorFileTest, StoragesOutsideTheFileAreRefused) {
  const auto set = [&](const char* key, json value) {
    return ReadChanged([&](json& header) { header["storages"][0][key] = value; });
  };
  EXPECT_FALSE(set("bytes", 4096).ok());
  EXPECT_FALSE(set("bytes", INT64_MAX).ok());
  EXPECT_FALSE(set("bytes", -1).ok());
  EXPECT_FALSE(set("offset", 64).ok());
  EXPECT_FALSE(set("offset", 1).ok());
  EXPECT_FALSE(set("offset", INT64_MAX - 63).ok());
}

TEST_F(TensorFileTest, TreesThatLieAreRefused) {
  const auto set = [&](json tree) {
    return ReadChanged([&](json& header) { header["trees"][0]["tree"] = tree; });
  };
  EXPECT_TRUE(set({{"kind", "none"}}).ok());
  EXPECT_FALSE(set({{"kind", "tensor"}, {"index", 1}}).ok());
  EXPECT_FALSE(set({{"kind", "tensor"}, {"index", -1}}).ok());
  EXPECT_FALSE(set({{"kind", "tensor"}}).ok());
  EXPECT_FALSE(set({{"kind", "pickle"}}).ok());
  EXPECT_FALSE(set({{"kind", "tuple"}}).ok());
  EXPECT_FALSE(set({{"kind", "tuple"}, {"items", {3}}}).ok());
  EXPECT_FALSE(set({{"kind", "dict"}, {"keys", {"'a'", "'b'"}}, {"items", {{{"kind", "none"}}}}}).ok());
  json deep = {{"kind", "none"}};
  for (int i = 0; i < 1000; ++i) deep = {{"kind", "tuple"}, {"items", json::array({std::move(deep)})}};
  EXPECT_THAT(std::string(set(std::move(deep)).message()), HasSubstr("too deep"));
}

TEST_F(TensorFileTest, WhatIsNoFileIsRefused) {
  EXPECT_FALSE(ReadTensorFile("/dev/zero").ok());
  EXPECT_FALSE(ReadTensorFile(dir()).ok());
  EXPECT_FALSE(ReadTensorFile(dir() + "/none").ok());
  RoundTrip({.tensors = {{"x", at::ones({2})}}});
  ASSERT_EQ(symlink("t.bin", (dir() + "/link.bin").c_str()), 0);
  EXPECT_FALSE(ReadTensorFile(dir() + "/link.bin").ok());
}

}  // namespace
}  // namespace strata::host

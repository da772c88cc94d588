#include "limbeck/core/hash.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

namespace limbeck::core {
namespace {

struct Vector {
  std::string message;
  std::string digest;
};

// NIST's examples for FIPS 180-4.
const Vector kVectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

TEST(Sha256, GivesTheKnownAnswers) {
  for (const auto& [message, digest] : kVectors) EXPECT_EQ(sha256_hex(message), digest) << message.size();
}

TEST(Sha256, IsTheSameInAnyPieces) {
  const std::string message = kVectors[3].message + kVectors[3].message;
  for (std::size_t cut = 0; cut <= message.size(); ++cut) {
    Sha256 hash;
    hash.update(std::string_view(message).substr(0, cut)).update(std::string_view(message).substr(cut));
    EXPECT_EQ(hash.finish_hex(), sha256_hex(message)) << cut;
  }
}

TEST(Sha256, PadsEveryLengthAroundABlock) {
  // Hash of the hashes of 0..130 zero bytes, computed with another implementation (Python's hashlib).
  std::string all;
  for (std::size_t length = 0; length <= 130; ++length) all += sha256_hex(std::string(length, '\0'));
  EXPECT_EQ(sha256_hex(all), "54e76fce7077001577d4cd003983a26b89611ab84dce9950b9aaf77133a69f94");
}

TEST(Sha256, HashesFiles) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  const std::string content(3'000'001, 'x');
  write_file(path, content);
  EXPECT_EQ(sha256_file(path), sha256_hex(content));
  EXPECT_THROW(sha256_file(directory.path() / "missing"), IoError);
}

}  // namespace
}  // namespace limbeck::core

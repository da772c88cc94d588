#include "limbeck/data/files/image_folder.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/hash.h"
#include "limbeck/core/utf8.h"
#include "limbeck/data/files/encoded_image.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 64;  // a link to a folder above it would go on for ever
constexpr std::array<const char*, 3> kReadable{".jpg", ".jpeg", ".png"};
constexpr std::array<const char*, 12> kOtherImages{".bmp", ".gif",  ".tif", ".tiff", ".webp", ".ppm",
                                                   ".pgm", ".heic", ".jp2", ".avif", ".jxl",  ".pnm"};

struct Entry {
  std::string path;  // below the dataset's folder
  std::int64_t label;
};

std::string lower_case_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c); });
  return extension;
}

template <std::size_t N>
bool is_one_of(const std::string& text, const std::array<const char*, N>& list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) entries.push_back(*it);
  if (error) fail<IoError>("[data] folder {} cannot be read: {}.", folder.string(), error.message());
  return entries;
}

// `folder` and all below it.
void collect_folders(const fs::path& folder, int depth, std::vector<std::string>& found) {
  if (depth > kMaxDepth) {
    fail<IoError>("[data] {} lies more than {} folders deep. Is there a link to a folder above it?", folder.string(),
                  kMaxDepth);
  }
  found.push_back(folder.string());
  for (const fs::directory_entry& entry : entries_of(folder)) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) collect_folders(entry.path(), depth + 1, found);
  }
}

std::vector<std::string> image_names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    const std::string extension = lower_case_extension(entry.path());
    std::error_code ignored;
    if (is_one_of(extension, kOtherImages)) {
      fail<IoError>("[data] {} is neither PNG nor JPEG. Convert it to one of them, or take it out of the folder.",
                    entry.path().string());
    }
    if (is_one_of(extension, kReadable) && !entry.is_directory(ignored)) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Appends the images of one class; returns how many there are.
std::size_t collect_class(const fs::path& root, const std::string& class_name, std::int64_t label,
                          std::vector<Entry>& samples) {
  const std::size_t before = samples.size();
  std::vector<std::string> folders;
  collect_folders(root / class_name, 0, folders);
  std::sort(folders.begin(), folders.end());
  const std::size_t prefix = (root / class_name).string().size() - class_name.size();
  for (const std::string& folder : folders) {
    for (const std::string& name : image_names_in(folder)) {
      samples.push_back({folder.substr(prefix) + "/" + name, label});
    }
  }
  return samples.size() - before;
}

void check_classes(const fs::path& root, const std::vector<std::string>& found, const std::vector<std::string>& known) {
  for (const std::string& name : found) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    fail<IoError>("[data] {} has a folder '{}', which is no class of the training images.{} Rename it or take it out.",
                  root.string(), name, nearest_hint(name, known));
  }
}

class ImageFolder final : public Dataset {
 public:
  ImageFolder(std::string root, std::string name, ImageFolderOptions options, std::vector<Entry> samples)
      : root_(std::move(root)), name_(std::move(name)), options_(std::move(options)), samples_(std::move(samples)) {}

  std::string name() const override { return name_; }
  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.size()); }
  ImageShape shape() const override {
    return {static_cast<std::int64_t>(options_.channels), ImageShape::kVaries, ImageShape::kVaries};
  }
  const std::vector<std::string>& class_names() const override { return options_.class_names; }
  std::int64_t label(std::int64_t index) const override { return entry(index).label; }

  Sample sample(std::int64_t index) const override {
    const EncodedSample encoded = read(index);
    const std::span file(reinterpret_cast<const std::uint8_t*>(encoded.file.data()), encoded.file.size());
    return {EncodedImage(file, encoded.name, options_.channels, options_.limits).decode(), encoded.label};
  }
  std::optional<EncodedSample> encoded(std::int64_t index) const override { return read(index); }

  // Of the files' names, labels, sizes and times: reading them all would take as long as an epoch.
  std::string identity() const override {
    core::Sha256 hash;
    for (const Entry& one : samples_) {
      struct ::stat state {};
      const bool is_there = ::stat(path_of(one).c_str(), &state) == 0;
      hash.update(fmt::format("{}\n{} {} {} {}\n", one.path, one.label, is_there ? state.st_size : -1,
                              state.st_mtim.tv_sec, state.st_mtim.tv_nsec));
    }
    return fmt::format("{} {}", name_, hash.finish_hex());
  }

 private:
  const Entry& entry(std::int64_t index) const {
    LIMBECK_CHECK(index >= 0 && index < size(), "[data] {} has {} samples, no sample {}.", name_, size(), index);
    return samples_[static_cast<std::size_t>(index)];
  }
  std::string path_of(const Entry& one) const { return root_ + "/" + one.path; }
  EncodedSample read(std::int64_t index) const {
    const Entry& one = entry(index);
    std::string path = path_of(one);
    std::string file = core::read_file(path, options_.limits.max_file_bytes);
    return {std::move(file), std::move(path), one.label};
  }

  std::string root_;
  std::string name_;
  ImageFolderOptions options_;  // with the class names
  std::vector<Entry> samples_;
};

}  // namespace

std::vector<std::string> images_in(const fs::path& folder) {
  std::vector<std::string> images;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    std::error_code ignored;
    const bool is_image = is_one_of(lower_case_extension(entry.path()), kReadable);
    if (is_image && !entry.is_directory(ignored)) images.push_back(entry.path().string());
  }
  std::sort(images.begin(), images.end());
  return images;
}

std::vector<std::string> class_folders(const fs::path& root) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : entries_of(root)) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) names.push_back(entry.path().filename().string());
  }
  if (names.empty()) {
    fail<IoError>("[data] {} has no folders. Give each class a folder with its images.", root.string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (!core::is_utf8(name)) {
      fail<IoError>("[data] {}: the class name '{}' is not UTF-8. Rename the folder.", root.string(),
                    core::printable(name));
    }
  }
  return names;
}

std::shared_ptr<const Dataset> open_image_folder(const fs::path& folder, std::string name, ImageFolderOptions options) {
  const std::vector<std::string> found = class_folders(folder);
  const bool must_have_images = options.class_names.empty();
  if (must_have_images) options.class_names = found;
  check_classes(folder, found, options.class_names);
  std::vector<Entry> samples;
  for (std::size_t label = 0; label < options.class_names.size(); ++label) {
    const std::string& class_name = options.class_names[label];
    if (!std::binary_search(found.begin(), found.end(), class_name)) continue;
    const std::size_t count = collect_class(folder, class_name, static_cast<std::int64_t>(label), samples);
    if (count == 0 && must_have_images) {
      fail<IoError>("[data] class '{}' of {} has no image (.jpg, .jpeg or .png). Give it some, or take its folder out.",
                    class_name, folder.string());
    }
  }
  return std::make_shared<ImageFolder>(folder.string(), std::move(name), std::move(options), std::move(samples));
}

}  // namespace limbeck::data

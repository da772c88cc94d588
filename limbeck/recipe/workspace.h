// The folder of a recipe's results. Each finished stage has a folder with the hash of all that it depends on, so that a
// second run takes it from there; an unfinished one has its checkpoints.
//
//   OUTPUT/teacher/result.json   key, what was done and how it went
//   OUTPUT/teacher/model.lmb     the result
//   OUTPUT/teacher/checkpoint/   while it is being made
//   OUTPUT/student/teacher_outputs.safetensors   likewise, of a distillation that computes them once
//   OUTPUT/teacher.previous/     one that was made with other settings; later ones: teacher.previous-2, ...
//   OUTPUT/report.json, report.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/core/json/json.h"

namespace limbeck::recipe {

enum class WorkspaceUse : uint8_t {
  work,  // makes the folder and locks it
  read,  // touches nothing, so that one can look while another process works in it
};

class Workspace {
 public:
  /// For work, throws InvalidArgument while another process works in the folder, IoError for the disk.
  /// Folders that it made go with it where nothing was put into them.
  Workspace(std::filesystem::path root, WorkspaceUse use);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path stage_folder(const std::string& stage) const { return root_ / stage; }
  std::filesystem::path model_file(const std::string& stage) const { return root_ / stage / "model.lmb"; }
  std::filesystem::path checkpoint_folder(const std::string& stage) const { return root_ / stage / "checkpoint"; }
  std::filesystem::path teacher_outputs_file(const std::string& stage) const {
    return root_ / stage / "teacher_outputs.safetensors";
  }

  /// The result of a finished stage if it was made under `key`; a damaged or missing one is nothing.
  std::optional<core::Json> find_result(const std::string& stage, const std::string& key) const;
  /// Marks the stage as finished: last of all, atomically.
  void put_result(const std::string& stage, const std::string& key, core::Json result) const;
  /// Prepares the folder for a stage under `key`. What other settings made there stays, as STAGE.previous or the first
  /// of STAGE.previous-2, ... that is free: a model, or the checkpoints of one.
  void begin_stage(const std::string& stage, const std::string& key) const;
  /// Removes what only an unfinished stage needs: its checkpoints and computed teacher outputs.
  void end_stage(const std::string& stage) const;

 private:
  void make_root();
  void set_aside(const std::string& stage) const;
  void lock();
  void remove_empty_folders() const;

  std::filesystem::path root_;
  std::vector<std::filesystem::path> made_;  // folders that were not there before, the innermost first
  int lock_descriptor_ = -1;
};

}  // namespace limbeck::recipe

# The examples, run as a reader would run them.
limbeck_test_entry(examples_01_train_from_pt2
  COMMAND "$<TARGET_FILE:example_01_train_from_pt2>"
          "${PROJECT_SOURCE_DIR}/tests/graph/capture/data/tiny_eval.pt2"
          "${PROJECT_SOURCE_DIR}/tests/graph/capture/data/tiny_train.pt2" "${PROJECT_BINARY_DIR}/tmp/trained.lmb")
limbeck_test_entry(examples_02_distill COMMAND "$<TARGET_FILE:example_02_distill>")
limbeck_test_entry(examples_03_optimize_set COMMAND "$<TARGET_FILE:example_03_optimize_set>")

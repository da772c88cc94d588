# data_test compares with what torchvision made of images; without Python's torch it tests everything else. The slow entry
# does so on 500 images of up to 4,000 pixels.
if(LIMBECK_HAS_PYTHON_TORCH)
  set(transform_cases "${PROJECT_SOURCE_DIR}/tests/export/transform_cases.py")
  set(few "${PROJECT_BINARY_DIR}/transform_cases")
  limbeck_test_entry(export_transform_cases COMMAND "${LIMBECK_PYTHON}" "${transform_cases}" --out "${few}")
  set_tests_properties(export_transform_cases PROPERTIES FIXTURES_SETUP transform_cases)
  set_tests_properties(data_test PROPERTIES FIXTURES_REQUIRED transform_cases)
  set_property(TEST data_test APPEND PROPERTY ENVIRONMENT "LIMBECK_TRANSFORM_CASES=${few}")

  set(many "${PROJECT_BINARY_DIR}/transform_cases_500")
  limbeck_test_entry(export_transform_cases_500 COMMAND "${LIMBECK_PYTHON}" "${transform_cases}" --out "${many}"
                     --images 500 --largest 4000 SLOW_S 100)
  set_tests_properties(export_transform_cases_500 PROPERTIES FIXTURES_SETUP transform_cases_500)
  limbeck_test_entry(data_torchvision_500 COMMAND data_test --gtest_filter=*TorchvisionTransforms* SLOW_S 60)
  set_tests_properties(data_torchvision_500 PROPERTIES FIXTURES_REQUIRED transform_cases_500)
  set_property(TEST data_torchvision_500 APPEND PROPERTY ENVIRONMENT "LIMBECK_TRANSFORM_CASES=${many}")
endif()

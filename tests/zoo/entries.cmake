# zoo_test compares with what torchvision's models gave; without Python's torch it tests everything else.
if(LIMBECK_HAS_PYTHON_TORCH)
  set(zoo_reference "${PROJECT_SOURCE_DIR}/build/zoo_reference")
  limbeck_test_entry(export_zoo_reference COMMAND "${LIMBECK_PYTHON}"
                     "${PROJECT_SOURCE_DIR}/tests/export/zoo_reference.py" --out "${zoo_reference}")
  set_tests_properties(export_zoo_reference PROPERTIES FIXTURES_SETUP zoo_reference)
  set_tests_properties(zoo_test PROPERTIES FIXTURES_REQUIRED zoo_reference)
  set_property(TEST zoo_test APPEND PROPERTY ENVIRONMENT "LIMBECK_ZOO_REFERENCE=${zoo_reference}")
endif()

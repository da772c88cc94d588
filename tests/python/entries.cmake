# The Python package, as it stands in the build tree, under pytest.
if(TARGET limbeck_python)
  limbeck_test_entry(python_package
    COMMAND "${LIMBECK_PYTHON}" -m pytest -q -p no:cacheprovider -p no:logging "${CMAKE_CURRENT_LIST_DIR}")
  set_tests_properties(python_package PROPERTIES
    ENVIRONMENT "${limbeck_test_environment};PYTHONPATH=${PROJECT_BINARY_DIR}/python")
endif()

# corpus_test checks the fast models and the random architectures, corpus_all_test every model. Without Python's torch
# there is no corpus, and only the committed archives are checked.
if(LIMBECK_HAS_PYTHON_TORCH)
  set_tests_properties(corpus_test PROPERTIES FIXTURES_REQUIRED corpus PROCESSORS 2)
  limbeck_test_entry(corpus_all_test COMMAND corpus_test SLOW_S 150)
  set_tests_properties(corpus_all_test PROPERTIES FIXTURES_REQUIRED corpus_all PROCESSORS 2)
  set_property(TEST corpus_all_test APPEND PROPERTY ENVIRONMENT "LIMBECK_CORPUS_MODELS=all")
else()
  set_property(TEST corpus_test APPEND PROPERTY ENVIRONMENT "LIMBECK_CORPUS_MODELS=none")
endif()

# Foreign models exported by Python, for the tests that capture them: a test that reads build/corpus requires the
# fixture `corpus` (eight models and twelve random architectures) or `corpus_all` (every model of models.py).
if(LIMBECK_HAS_PYTHON_TORCH)
  set(make_corpus "${LIMBECK_PYTHON}" "${CMAKE_CURRENT_LIST_DIR}/make_corpus.py"
      --out "${PROJECT_SOURCE_DIR}/build/corpus" --random 12 --jobs 2)
  limbeck_test_entry(export_corpus COMMAND ${make_corpus} --models fast)
  set_tests_properties(export_corpus PROPERTIES FIXTURES_SETUP corpus PROCESSORS 2 TIMEOUT 1200)
  limbeck_test_entry(export_corpus_all COMMAND ${make_corpus} --models all --check SLOW_S 1000)
  set_tests_properties(export_corpus_all PROPERTIES FIXTURES_SETUP corpus_all PROCESSORS 2)
endif()

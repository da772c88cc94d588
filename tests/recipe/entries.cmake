# A minute on two cores: a network that learns 30,000 images, and transfers.
limbeck_test_entry(recipe_transfer_gain COMMAND "${LIMBECK_PYTHON}" "${PROJECT_SOURCE_DIR}/tests/recipe/transfer_gain.py"
                   SLOW_S 120)

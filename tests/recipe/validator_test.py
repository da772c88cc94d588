"""The published JSON schema in the hands of a validator, as an editor has it, and the reader: both take what is right and
refuse what is wrong. Runs in the build tree, beside the program."""
import copy
import json
import pathlib
import subprocess
import tempfile
import unittest

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/recipe.schema.json").read_text())
RECIPE = yaml.safe_load((ROOT / "recipes/fashion-mnist.yaml").read_text())

# Where in the recipe, and what is put there that must not stand there.
WRONG = [
    (["seed"], "x"),
    (["nme"], "x"),
    (["models"], None),
    (["models", "teacher", "zo"], "resnet18"),
    (["data", "batchsize"], 3),
    (["data", "dataset"], ["fashion-mnist"]),
    (["data", "mean"], 0.5),
    (["data", "train_transforms"], [{"resize": {"size": "big"}}]),
    (["data", "train_transforms"], [{"resise": {"size": 3}}]),
    (["data", "train_transforms"], [{"resize": {"size": 3}, "pad": {}}]),
    (["data", "test_transforms"], {"resize": {"size": 3}}),
    (["stages"], []),
    (["stages", 0], {"trian": {}}),
    (["stages", 0, "train", "epochs"], "two"),
    (["stages", 0, "train", "precision"], "fp8"),
    (["stages", 0, "train", "optimizer", "kind"], "adamm"),
]


def changed(path, value):
    recipe = copy.deepcopy(RECIPE)
    place = recipe
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return recipe


class Schema(unittest.TestCase):
    def setUp(self):
        validator = jsonschema.validators.validator_for(SCHEMA)
        validator.check_schema(SCHEMA)
        self.validator = validator(SCHEMA)

    def test_is_of_draft_2020_12(self):
        self.assertIsInstance(self.validator, jsonschema.Draft202012Validator)

    def test_takes_the_recipes(self):
        recipes = sorted((ROOT / "recipes").glob("*.yaml"))
        self.assertGreaterEqual(len(recipes), 2)
        for recipe in recipes:
            with self.subTest(recipe.name):
                self.validator.validate(yaml.safe_load(recipe.read_text()))

    def test_refuses_what_the_reader_refuses(self):
        for path, value in WRONG:
            with self.subTest(".".join(map(str, path))), tempfile.TemporaryDirectory() as folder:
                recipe = changed(path, value)
                self.assertFalse(self.validator.is_valid(recipe))
                file = pathlib.Path(folder) / "wrong.yaml"
                file.write_text(yaml.safe_dump(recipe))
                run = subprocess.run(["./limbeck", "run", str(file), "--dry-run"], capture_output=True, text=True)
                self.assertEqual(run.returncode, 2, run.stderr)


if __name__ == "__main__":
    unittest.main()

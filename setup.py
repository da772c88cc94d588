"""Builds the Python package for pip: CMake compiles the extension, against the torch that the package will meet.

The torch is that of the environment, also where pip builds in an isolated one. Environment:
  LIMBECK_BUILD_DIR=DIR  keep the build tree there, for a quick second build (else a temporary folder)
  CMAKE_ARGS             more arguments of CMake, such as -DLIMBECK_USE_CCACHE=ON
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).resolve().parent


def project_version():
    return re.search(r"project\(Limbeck VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]


def environments_torch():
    """(folder, version) of the torch that this Python finds when it is not inside pip's build isolation."""
    code = ("import importlib.metadata as m, importlib.util as u; "
            "print(u.find_spec('torch').submodule_search_locations[0]); print(m.version('torch'))")
    # -I leaves out PYTHONPATH, by which pip puts its isolated environment in front.
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    if found.returncode != 0:
        raise SystemExit("limbeck is compiled against the torch of your environment, and this one has none: "
                         "pip install torch, then again")
    return found.stdout.split()


class BuildWithCMake(build_ext):
    def build_extension(self, _extension):
        torch_folder, _ = environments_torch()
        build = pathlib.Path(os.environ.get("LIMBECK_BUILD_DIR") or self.build_temp).resolve()
        stage = pathlib.Path(self.build_lib).resolve()
        if self.editable_mode:
            raise SystemExit("an editable install has no place for the compiled part. Build it with make test, and set "
                             f"PYTHONPATH={ROOT / 'build/dev/python'}")
        subprocess.run(["cmake", "-S", str(ROOT), "-B", str(build), *(["-G", "Ninja"] if has_ninja() else []),
                        "-DCMAKE_BUILD_TYPE=Release", "-DLIMBECK_BUILD_TESTS=OFF", "-DLIMBECK_BUILD_PYTHON=ON",
                        f"-DLIMBECK_PYTHON={sys.executable}", f"-DLIMBECK_TORCH={torch_folder}",
                        *shlex.split(os.environ.get("CMAKE_ARGS", ""))], check=True)
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)
        subprocess.run(["cmake", "--build", str(build), "--target", "limbeck_python", "-j", jobs], check=True)
        subprocess.run(["cmake", "--install", str(build), "--component", "python", "--prefix", str(stage)], check=True)


def has_ninja():
    try:
        return subprocess.run(["ninja", "--version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def torch_requirement():
    """The release that the wheel is good for; sdist's metadata, where no torch is needed, name none in particular."""
    try:
        return f"torch=={environments_torch()[1].split('+')[0]}"
    except SystemExit:
        return "torch>=2.8"


setup(version=project_version(), install_requires=[torch_requirement()],
      ext_modules=[Extension("limbeck._core", sources=[])], cmdclass={"build_ext": BuildWithCMake})

"""Builds ``sparsedef._C`` with CMake; everything else is in ``pyproject.toml``."""

import os

from scikit_build_core.setuptools.build_cmake import BuildCMake
from setuptools import setup

WARNING = """
======================================================================================
sparsedef: the native kernels could NOT be built, so this is a pure-Python installation.
It works, but the `cpp` and `cuda` backends will be missing; `reference` and `triton` remain.

  reason: {error}

To get them: install a C++17 compiler (and CMake), then
  pip install --no-cache-dir --force-reinstall --no-deps sparsedef
(without --no-cache-dir pip would reuse this pure-Python wheel).
SPARSEDEF_REQUIRE_EXT=1 turns this warning into an error.
======================================================================================
"""


class BuildOrWarn(BuildCMake):
    """Installs pure Python, loudly, where the native module cannot be built."""

    def run(self) -> None:
        """Builds with CMake."""
        try:
            super().run()
        except (Exception, SystemExit) as error:
            if os.environ.get("SPARSEDEF_REQUIRE_EXT", "0") not in ("", "0"):
                raise
            self.warn(WARNING.format(error=error or type(error).__name__))


setup(cmake_source_dir=".", cmdclass={"build_cmake": BuildOrWarn})

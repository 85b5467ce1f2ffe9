"""The same for `samnagui`: importing samna brings it along (see the package beside this one)."""

import importlib
import sys

sys.modules.pop(__name__, None)
importlib.import_module("samna")

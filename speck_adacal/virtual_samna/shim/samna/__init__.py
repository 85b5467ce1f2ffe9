"""Stands in the way of PyPI's stub in processes that a program on the virtual samna starts.

`speck-adacal virtual run` puts the folder above this one on their path: `import samna` there
finds the virtual samna, and never an installer.
"""

import sys

from speck_adacal.virtual_samna.stand_in import ensure_samna

sys.modules.pop(__name__, None)  # the name is for the virtual samna, which comes now
ensure_samna("virtual")

"""Adaptive Calibration for the SynSense Speck.

The public names and their types are in `__init__.pyi`. They are loaded on first use, so that
importing the package costs neither torch nor tonic nor matplotlib.
"""

from __future__ import annotations

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

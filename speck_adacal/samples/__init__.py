"""Calibration samples: brought to batches that can be read again, and cut to fit in memory."""

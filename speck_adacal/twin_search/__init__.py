"""Adaptation with the chip twin in the loop: thresholds for accuracy per SynOp, as a front."""

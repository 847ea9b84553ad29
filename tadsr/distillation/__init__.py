"""One-step students: stored teacher answers, the losses, and the training."""

from __future__ import annotations

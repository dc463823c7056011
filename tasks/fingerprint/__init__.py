"""The code fingerprint of a stage's function, which is part of the stage's key."""

from tasks.fingerprint.reach import Fingerprint, fingerprint

__all__ = ["Fingerprint", "fingerprint"]

"""What a stage's function is made of: the part of its key that is code."""

from tasks.fingerprint.reach import Fingerprint, fingerprint

__all__ = ["Fingerprint", "fingerprint"]

"""Results under their keys: complete, or not there at all."""

from tasks.store.store import Built, Lookup, Store

__all__ = ["Built", "Lookup", "Store"]

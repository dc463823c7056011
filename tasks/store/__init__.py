"""Results under their keys: complete, or not there at all."""

from tasks.store.store import Built, Found, Store

__all__ = ["Built", "Found", "Store"]

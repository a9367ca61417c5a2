"""The primitives, one file per family; ``op`` holds the record and the decorators, ``dispatch`` the call path."""

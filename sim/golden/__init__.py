"""The whole network in NumPy integers, one file per hardware unit (``docs/numerics.md`` is the specification)."""

"""Which ops get a native kernel in the place of their body."""

BODIES = ("_softmax",)

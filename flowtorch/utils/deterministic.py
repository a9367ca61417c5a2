"""Settings of deterministic algorithms."""

fill_uninitialized_memory = True

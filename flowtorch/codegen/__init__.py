"""Code generation from scalar expressions: trees, typed programs, layouts and three renderers."""

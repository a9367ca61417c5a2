"""Tools of passes over graphs."""

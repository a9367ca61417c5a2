"""What several data pipes share."""

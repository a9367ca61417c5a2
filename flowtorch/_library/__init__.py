"""Parts of ``torch.library`` under the names by which libraries import them."""

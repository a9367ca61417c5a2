"""Settings of ``torch.fx``: whether interpreters show their progress, which they do not here."""

disable_progress = True
verbose_progress = False

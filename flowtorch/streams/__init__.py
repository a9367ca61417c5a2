"""PyTorch's CPU random streams on numpy arrays.

Every function takes a ``Generator`` and fills an array (or returns a new one), drawing the words that PyTorch
draws and in its order, so that results and the generator's state afterwards agree with PyTorch's. The modules
follow the way the words are used: ``words`` (raw draws, the order of memory), ``uniform``, ``normal``,
``integers``, ``categorical`` and ``samplers``.
"""

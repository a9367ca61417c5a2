"""PyTorch's CPU random streams on numpy arrays.

Every function takes a ``Generator`` and fills a given array in place, drawing the words that PyTorch draws and in its
order, so that results and the generator's state afterwards agree with PyTorch's. The modules follow the way the words
are used: ``words`` (raw draws and the order of memory), ``uniform``, ``normal``, ``integers`` and ``samplers``.
"""

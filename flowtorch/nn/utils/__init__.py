"""Functions on the parameters of modules: clipping, flattening, reparametrising, pruning; and on sequences."""

from . import rnn as rnn

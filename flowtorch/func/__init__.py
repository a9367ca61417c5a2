"""Function transforms: derivatives and batching of functions, in any composition."""
from flowtorch.func.forward import jvp, linearize
from flowtorch.func.gradients import grad, grad_and_value, vjp
from flowtorch.func.jacobians import hessian, jacfwd, jacrev
from flowtorch.func.vmapping import vmap

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp", "vmap"]

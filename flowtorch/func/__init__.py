"""Function transforms: derivatives and batching of functions, in any composition."""

from flowtorch.func.forward import jvp, linearize
from flowtorch.func.functional import debug_unwrap, functionalize
from flowtorch.func.gradients import grad, grad_and_value, vjp
from flowtorch.func.jacobians import hessian, jacfwd, jacrev
from flowtorch.func.modules import functional_call, replace_all_batch_norm_modules_, stack_module_state
from flowtorch.func.rearranging import rearrange
from flowtorch.func.vmapping import vmap

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]

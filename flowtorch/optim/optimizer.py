"""Optimizer, the base of all optimisers: parameter groups, state dictionaries and hooks."""
from __future__ import annotations

import functools
import sys
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from copy import deepcopy
from itertools import chain
from typing import Any

import flowtorch as ft
from flowtorch.autograd.mode import enable_grad, grad_mode
from flowtorch.tensor import Tensor

from . import planned
from .counters import new_number
from .counters import number_dtype as _get_scalar_dtype  # noqa: F401 (optimizers elsewhere import these names)
from .options import check_fused_param as _device_dtype_check_for_fused  # noqa: F401
from .options import get_value as _get_value  # noqa: F401
from .options import to_scalar as _to_scalar  # noqa: F401

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

ParamsT = Iterable[Any]
params_t = _params_t = ParamsT
StateDict = dict[str, Any]

_global_optimizer_pre_hooks: dict[int, Callable] = OrderedDict()
_global_optimizer_post_hooks: dict[int, Callable] = OrderedDict()


class _RequiredParameter:
    """The default of an option that every parameter group has to give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def register_optimizer_step_pre_hook(hook: Callable) -> Any:
    """Call ``hook(optimizer, args, kwargs)`` before each step of every optimizer; it may return new (args,
    kwargs)."""
    return _register(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable) -> Any:
    """Call ``hook(optimizer, args, kwargs)`` after each step of every optimizer."""
    return _register(_global_optimizer_post_hooks, hook)


def _register(hooks: dict[int, Callable], hook: Callable, prepend: bool = False) -> Any:
    from flowtorch.utils.hooks import RemovableHandle

    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)     # type: ignore[attr-defined]
    return handle


def _record_function(name: str) -> Any:
    """A profiler range called ``name`` if the profiler has been loaded."""
    profiler = sys.modules.get("flowtorch.autograd.profiler")
    return profiler.record_function(name) if profiler else nullcontext()


def _use_grad_for_differentiable(func: Callable) -> Callable:
    """Run the method ``func`` with gradients recorded only if the optimizer was made with
    ``differentiable=True``."""
    @functools.wraps(func)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = grad_mode.enabled
        grad_mode.enabled = self.defaults.get("differentiable", False)
        try:
            return func(self, *args, **kwargs)
        finally:
            grad_mode.enabled = before
    return step


class Optimizer:
    """Base class of all optimizers.

    ``params`` are tensors, (name, tensor) pairs, or dictionaries that describe parameter groups; ``defaults``
    are the options of groups that do not set them. A subclass defines ``step``.

    >>> layer = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.5}], lr=0.1)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 0.5]
    """

    OptimizerPreHook = Callable[..., Any]
    OptimizerPostHook = Callable[..., None]

    _HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks",
              "_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks",
              "_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks")

    _optimizer_step_pre_hooks: dict[int, Callable]
    _optimizer_step_post_hooks: dict[int, Callable]
    _optimizer_state_dict_pre_hooks: dict[int, Callable]
    _optimizer_state_dict_post_hooks: dict[int, Callable]
    _optimizer_load_state_dict_pre_hooks: dict[int, Callable]
    _optimizer_load_state_dict_post_hooks: dict[int, Callable]

    # Options that state saved by an old release may lack, with the value that means what that release did.
    _options_added: tuple[tuple[str, Any], ...] = ()
    # State that old releases saved as numbers and that is now a 0-d tensor.
    _number_state: tuple[str, ...] = ()

    defaults: dict[str, Any]
    state: defaultdict[Any, Any]
    param_groups: list[dict[str, Any]]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._add_hook_tables()
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or "
                            "dicts, but got " + _typename(params))
        if not isinstance(params, Iterable) and hasattr(params, "parameters"):
            raise TypeError(f"'{type(params).__name__}' object is not iterable: give the optimizer its parameters()")
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        self._warned_capturable_if_run_uncaptured = True

    def _add_hook_tables(self) -> None:
        for name in self._HOOKS:
            self.__dict__.setdefault(name, OrderedDict())

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._add_hook_tables()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)
        for group in self.param_groups:
            for name, value in self._options_added:
                group.setdefault(name, value)
            for param in group["params"]:
                self._numbers_to_tensors(group, self.state.get(param) or {}, param)

    def _numbers_to_tensors(self, group: dict[str, Any], state: dict[str, Any], param: Tensor) -> None:
        for name in self._number_state:
            if name in state and not isinstance(state[name], Tensor):
                state[name] = new_number(group, param, float(state[name]))

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += ["", f"Parameter Group {i}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return f"{type(self).__name__} (" + "\n".join(lines) + "\n)"

    # ---- steps
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once; ``closure`` reevaluates the model and returns the loss."""
        raise NotImplementedError

    def _optimizer_step_code(self) -> None:
        """Called after each step so that a profiler can see the optimizer."""

    @staticmethod
    def profile_hook_step(func: Callable) -> Callable:
        """Wrap a ``step`` method so that it runs the hooks and shows up in profiles."""
        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self = args[0]
            if "flowtorch.autograd.profiler" in sys.modules:
                with _record_function(f"Optimizer.step#{type(self).__name__}.step"):
                    return hooked(self, args, kwargs)
            return hooked(self, args, kwargs)

        def hooked(self: Any, args: Any, kwargs: Any) -> Any:
            before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
            if before or _global_optimizer_pre_hooks:
                for hook in chain(_global_optimizer_pre_hooks.values(), before.values()):
                    result = hook(self, args, kwargs)
                    if result is None:
                        continue
                    if not isinstance(result, tuple) or len(result) != 2:
                        raise RuntimeError(f"{func} must return None or a tuple of (new_args, new_kwargs), "
                                           f"but got "
                                           f"{result}.")
                    args, kwargs = result
            out = func(*args, **kwargs)
            self._optimizer_step_code()
            if after or _global_optimizer_post_hooks:
                for hook in chain(after.values(), _global_optimizer_post_hooks.values()):
                    hook(self, args, kwargs)
            return out

        return wrapper

    def _patch_step_function(self) -> None:
        self._zero_grad_profile_name = f"Optimizer.zero_grad#{type(self).__name__}.zero_grad"
        cls: Any = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)
            cls.step.hooked = True

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero if ``set_to_none`` is False."""
        if set_to_none and "flowtorch.autograd.profiler" not in sys.modules and all(
                [planned.drop_gradients(group["params"]) for group in self.param_groups]):
            return
        if not hasattr(self, "_zero_grad_profile_name"):
            self._patch_step_function()
        with _record_function(self._zero_grad_profile_name):
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is None:
                        continue
                    if set_to_none:
                        param.grad = None
                        continue
                    if param.grad.grad_fn is not None:
                        param.grad.detach_()
                    else:
                        param.grad.requires_grad_(False)
                    param.grad.zero_()

    # ---- hooks
    def register_step_pre_hook(self, hook: Callable) -> Any:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new (args, kwargs)."""
        return _register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> Any:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call ``hook(optimizer)`` before ``state_dict`` collects the state."""
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call ``hook(optimizer, state_dict)`` on what ``state_dict`` returns; it may change or replace
        it."""
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call ``hook(optimizer, state_dict)`` on a shallow copy of what is to be loaded; it may return
        another."""
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call ``hook(optimizer)`` after ``load_state_dict``."""
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # ---- state dictionaries
    def state_dict(self) -> StateDict:
        """The state and the options as a dictionary that names parameters by their position in the groups."""
        for hook in self._optimizer_state_dict_pre_hooks.values():        # type: ignore[attr-defined]
            hook(self)
        position: dict[int, int] = {}
        groups = []
        start = 0
        for group in self.param_groups:
            for i, param in enumerate(group["params"], start):
                position.setdefault(id(param), i)
            start += len(group["params"])
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [position[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {position[id(key)] if isinstance(key, Tensor) else key: value for key,
                 value in self.state.items()}
        result: StateDict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():       # type: ignore[attr-defined]
            replaced = hook(self, result)
            if replaced is not None:
                result = replaced
        return result

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take over state and options from the result of ``state_dict``, matching parameters by position."""
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():   # type: ignore[attr-defined]
            replaced = hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced
        saved = deepcopy(state_dict["param_groups"])
        self._check_groups(saved)
        param_of = {key: param for group, old in zip(self.param_groups, saved, strict=True)
                    for param, key in zip(group["params"], old["params"], strict=True)}
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in param_of:
                state[param_of[key]] = _adapt(param_of[key], value, key, state_dict["param_groups"])
            else:
                state[key] = value
        for group, old in zip(self.param_groups, saved, strict=True):
            old["params"] = group["params"]
            if "param_names" in group:
                old.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():  # type: ignore[attr-defined]
            hook(self)

    def _check_groups(self, saved: list[dict[str, Any]]) -> None:
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if [len(group["params"]) for group in saved] != [len(group["params"]) for group in self.param_groups]:
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of "
                             "optimizer's group")

    # ---- parameter groups
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own, to ``param_groups``."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        _split_names(param_group)
        params = param_group["params"]
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is "
                                + _typename(param))
            if not self.defaults.get("differentiable") and not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError("parameter group didn't specify a value of required optimization parameter "
                                 f"{name}")
            param_group.setdefault(name, default)
        if len(set(params)) != len(params):
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in future, this "
                          "will cause "
                          "an error; see github.com/pytorch/pytorch/issues/40967 for more information",
                          stacklevel=3)
        named = "param_names" in param_group
        for group in self.param_groups:
            if ("param_names" in group) != named:
                raise ValueError("all optimizer param groups should be with/without names. cannot add param "
                                 "group "
                                 f"{'with' if named else 'without'} names to the optimizer")
        if not set(params).isdisjoint(chain.from_iterable(group["params"] for group in self.param_groups)):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)


class GroupwiseOptimizer(Optimizer):
    """An optimizer whose step treats one parameter group after another."""

    _recipe: planned.Recipe | None = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once; ``closure`` reevaluates the model and returns the loss."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            if not planned.step(self, group):
                self._update_anew(group)
        return loss

    @_use_grad_for_differentiable
    def _update_anew(self, group: dict[str, Any]) -> None:
        self._update_group(group)

    def _update_group(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _with_grad(self, group: dict[str, Any], sparse: bool = False) -> list[tuple[Tensor, Tensor,
                                                                                    dict[str, Any]]]:
        """The group's parameters that have a gradient, with it and with their state, which is made if need
        be."""
        rows = []
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            if grad.is_sparse and not sparse:
                raise RuntimeError(self._no_sparse_message())
            state = self.state[param]
            if not state:
                self._init_state(group, param, state)
            rows.append((param, grad, state))
        return rows

    def _no_sparse_message(self) -> str:
        return f"{type(self).__name__} does not support sparse gradients"

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        raise NotImplementedError


def _default_to_fused_or_foreach(params: list[Any], differentiable: bool,
                                 use_fused: bool = False) -> tuple[bool, bool]:
    """Whether optimizers written elsewhere should take their fused or their foreach code: on device "cuda",
    where lists of tensors are worked on in one launch."""
    here = bool(params) and not differentiable and all(p is None or p.device.type == "cuda" for p in params)
    fused = here and use_fused and all(p is None or p.is_floating_point() for p in params)
    return fused, here and not fused


def _view_as_real(params: list[Tensor], *state_and_grads: list[Tensor]) -> None:
    """Replace complex tensors in the lists by real views of them."""
    for i, param in enumerate(params):
        if param.is_complex():
            for tensors in (params, *state_and_grads):
                tensors[i] = ft.view_as_real(tensors[i])


# ---- loading and grouping

def _adapt(param: Tensor, value: Any, position: Any, groups: list[dict[str, Any]], key: Any = None) -> Any:
    """Loaded state with its tensors moved to where and what the parameter is."""
    if isinstance(value, Tensor):
        return _adapt_tensor(param, value, position, groups, key)
    if isinstance(value, dict):
        return {k: _adapt(param, v, position, groups, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_adapt(param, v, position, groups) for v in value)      # type: ignore[call-arg]
    return value


def _adapt_tensor(param: Tensor, value: Tensor, position: Any, groups: list[dict[str, Any]],
                  key: Any) -> Tensor:
    if key != "step":
        return value.to(dtype=param.dtype if param.is_floating_point() else None, device=param.device)
    # Step counts keep their own dtype and stay on the CPU unless the step itself runs on the device.
    group = next((group for group in groups if position in group["params"]), {})
    if group.get("capturable") or group.get("fused"):
        return value.to(dtype=ft.float32, device=param.device)
    return value


def _split_names(group: dict[str, Any]) -> None:
    """Make ``group["params"]`` a list of tensors, with their names, if they came with names, beside it."""
    params = group["params"]
    if isinstance(params, Tensor):
        params = [params]
    elif isinstance(params, set):
        raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering "
                        "of tensors "
                        "in sets will change between runs. Please use a list instead.")
    params = list(params)
    names = [param[0] for param in params if isinstance(param, tuple)]
    if names and len(names) != len(params):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    group["params"] = [param[1] for param in params] if names else params
    if names:
        group["param_names"] = names


def _typename(value: Any) -> str:
    return ft.typename(value)


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """The types of devices on which steps could be recorded: none does."""
    return []

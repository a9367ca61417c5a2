"""The mark on names that stay, as code that builds on fx uses it."""

import pytest

from flowtorch.fx import _compatibility
from flowtorch.fx._symbolic_trace import compatibility


@pytest.mark.parametrize("stable", [True, False])
def test_a_marked_function_is_itself_and_says_so(stable):
    def one():
        """Give one."""
        return 1

    assert compatibility(is_backward_compatible=stable)(one) is one
    assert one() == 1
    assert one.__doc__.startswith("Give one.")
    assert ("NOT" in one.__doc__) is not stable
    assert (one in _compatibility._BACK_COMPAT_OBJECTS) is stable
    assert one in _compatibility._MARKED_WITH_COMPATIBILITY

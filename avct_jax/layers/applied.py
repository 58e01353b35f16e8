"""A network and its variables as one function, of which type checkers know what it takes and returns."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import flax.linen as nn

Given = ParamSpec("Given")
Found = TypeVar("Found")
Network = TypeVar("Network", bound=nn.Module)


def function(
    method: Callable[Concatenate[Network, Given], Found],
    network: Network,
    variables: Mapping[str, Any],
) -> Callable[Given, Found]:
    """Bind a method to variables that it does not change.

    It is `network.apply`, whose annotation cannot tell what the method returns, nor that nothing stands
    beside it as long as no variable is changed.

    Args:
      method: of the network's class, or of that whose interface it has: `Renderer.encode`.
    """
    own = getattr(type(network), method.__name__)
    bound: Any = functools.partial(network.apply, variables, method=own)
    return bound

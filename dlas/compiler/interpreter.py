"""Walk over a network's operators in the order in which they run."""

from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import relax

from dlas.compiler.network import Network
from dlas.errors import UnsupportedError, unknown


class Interpreter:
    """An abstract interpreter of a network.

    Attributes
    ----------
    handlers : mapping of str to callable
        Functions of a call by the name of its operator, e.g. "relax.add".
    values : dict
        Value of each variable so far. Parameters are NumPy arrays.
    """

    handlers: Mapping[str, Callable[[relax.Call], Any]]

    def __init__(self, network: Network) -> None:
        self.main = network.module["main"]
        self.values: dict[relax.Var, Any] = {
            parameter: network.parameters[parameter.name] for parameter in self.main.params[1:]
        }

    def interpret(self, image: Any) -> Any:
        """Return the value of the network for an image.

        Raises UnsupportedError for an operator without a handler.
        """
        self.values[self.main.params[0]] = image
        for block in self.main.body.blocks:
            for binding in block.bindings:
                self.values[binding.var] = self.evaluate(binding.value)
        return self.evaluate(self.main.body.body)

    def evaluate(self, expression: relax.Expr) -> Any:
        """Return the value of an expression, such as an operand of a call."""
        if isinstance(expression, relax.Var):
            return self.values[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(self.evaluate(field) for field in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            return self.evaluate(expression.tuple_value)[expression.index]
        if isinstance(expression, tvm.ir.GenericConst):
            return expression.value.numpy()
        if isinstance(expression, relax.Call):
            handler = self.handlers.get(expression.op.name)
            if handler is None:
                error = unknown("operator in the network", expression.op.name, self.handlers)
                raise UnsupportedError(str(error))
            return handler(expression)
        raise UnsupportedError(
            f"the network holds {type(expression).__name__}, which is not compiled"
        )


def integers(values: Any) -> Any:
    """Return a TVM sequence as a tuple of int, or None for None."""
    return None if values is None else tuple(int(value) for value in values)

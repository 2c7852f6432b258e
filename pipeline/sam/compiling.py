"""What ``torch.compile`` needs, and how it is named where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager


class CompilerError(ValueError):
    """The compiler that ``torch.compile`` needs is not there, or does not work."""


@contextmanager
def naming_compiler() -> Iterator[None]:
    """Say in a line if the compiler is to blame."""
    # Their import takes a second, and few compile.
    from torch._dynamo.exc import BackendCompilerFailed  # noqa: PLC0415
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler  # noqa: PLC0415

    try:
        yield
    except BackendCompilerFailed as error:
        inner = error.inner_exception
        if isinstance(inner, InvalidCxxCompiler):
            raise CompilerError("compile must have a C++ compiler on a CPU, got none") from error
        if isinstance(inner, CppCompileError):
            raise CompilerError(
                f"compile must have a C++ compiler that works, got {_first_fault(str(inner))}"
            ) from error
        raise


def _first_fault(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[-1])

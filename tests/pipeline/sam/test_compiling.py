"""Compiled models say what others say, and a missing compiler is named."""

import json
import os
import subprocess
import sys

import pytest
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import CppCompileError, InductorError, InvalidCxxCompiler

from pipeline.sam.compiling import CompilerError, naming_compiler
from tests.fixtures.dvc_stages import ROOT


def failed(inner: Exception) -> None:
    """What ``torch.compile`` raises."""
    with naming_compiler():
        raise InductorError(inner, None)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (InvalidCxxCompiler(), r"^compile must have a C\+\+ compiler on a CPU, got none$"),
        (
            CppCompileError(["g++"], "In file x:\nx.hpp:3: fatal error: no Python.h\nmore"),
            r"^compile must have a C\+\+ compiler that works, got x.hpp:3: fatal error: no Python",
        ),
    ],
    ids=["none", "broken"],
)
def test_a_compiler_that_does_not_compile_is_named(inner: Exception, message: str) -> None:
    with pytest.raises(CompilerError, match=message):
        failed(inner)


def test_other_faults_stay_as_they_are() -> None:
    with pytest.raises(BackendCompilerFailed, match="of its own"):
        failed(ValueError("of its own"))


def compiled(**environment: str) -> subprocess.CompletedProcess[str]:
    """The program that compares, in a process of its own: checked types cannot be compiled."""
    command = [sys.executable, "-m", "tests.fixtures.compiled_model"]
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_what_is_compiled_says_what_the_model_says() -> None:
    ended = compiled()
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found.pop("graphs") == 2, "no image or number of clicks is compiled for itself"
    # A coded mask may round to the neighbouring code.
    assert found.pop("mask_code") <= 1
    assert {name: value for name, value in found.items() if value > 1e-5} == {}
    assert {"sam_score", "iou", "iou_token", "mask_token", "object_score"} <= found.keys()


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_told_so() -> None:
    last = compiled(CXX="/none").stderr.splitlines()[-1]
    assert last.endswith("CompilerError: compile must have a C++ compiler on a CPU, got none")

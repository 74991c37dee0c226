"""What the package must not do whoever asks it: no shell, no eval, no pickle from outside, no program with others' words."""

import ast
from collections.abc import Iterator

import pytest

from tests.test_imports import MODULES, tree_of

FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pty.spawn", "ctypes.CDLL.system"),
    *("os.fork", "os.forkpty", "os.posix_spawn", "os.posix_spawnp", "os.startfile", "asyncio.create_subprocess_shell"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "marshal.loads", "marshal.load", "shelve.open"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "logging.config.listen", "logging.config.fileConfig"),
    *("runpy.run_path", "runpy.run_module", "code.interact", "tempfile.mktemp", "yaml.load", "yaml.unsafe_load"),
}
STARTS = {
    *(f"subprocess.{each}" for each in ("Popen", "run", "call", "check_call", "check_output")),
    *("asyncio.create_subprocess_exec", "multiprocessing.Process", "concurrent.futures.ProcessPoolExecutor"),
}
PREFIXES = ("os.exec", "os.spawn", "subprocess_")

EXCEPTIONS = {
    ("nportpy/config/__init__.py", "pickle.loads"): "what a child of ours has read: our interpreter, our module",
}
PROGRAMS = {
    "nportpy/config/__init__.py": "the loader's child: our interpreter and module, and the file's path",
    "nportpy/console/checking.py": "nportpy check: our interpreter and module, and the path that it was started with",
    "nportpy/simulator/process.py": "simulated lines: our interpreter and module",
    "nportpy/cli/extcap.py": "tshark -G folders, by the user's command",
    "nportpy/cli/init_service.py": "systemctl, by the user's command",
}
"""Everything that starts a program. Nothing in them comes from the network."""


def calls(path: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a module, by the whole name of what is called, whatever it was imported as."""
    tree = tree_of(path)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                each.asname or each.name.partition(".")[0]: (each.asname and each.name) or each.name.partition(".")[0]
                for each in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
            first, _, rest = name.partition(".")
            yield names.get(first, first) + (f".{rest}" if rest else ""), node


@pytest.mark.parametrize("path", MODULES)
def test_s30_no_shell_no_eval_no_pickle_and_programs_are_named(path: str) -> None:
    for name, call in calls(path):
        where = f"{path}:{call.lineno}: {name}"
        assert name not in FORBIDDEN or (path, name) in EXCEPTIONS, where
        assert not name.startswith(PREFIXES), where
        assert not any(each.arg == "shell" for each in call.keywords), where
        if name in STARTS:
            assert path in PROGRAMS, where
            first = call.args[0]
            assert not isinstance(first, ast.JoinedStr | ast.BinOp), where
            assert not isinstance(first, ast.Constant), f"{where}: a list of words"


def test_s30_every_exception_is_one() -> None:
    found = {(path, name) for path in MODULES for name, _ in calls(path)}
    assert found >= set(EXCEPTIONS)
    assert {path for path, name in found if name in STARTS} == set(PROGRAMS)


def test_s30_what_answers_requests_starts_one_program_only() -> None:
    """services/ and console/, and what they are given of the gateway, run nothing with a request's words in it."""
    starting = [
        path for path in PROGRAMS if path.startswith(("nportpy/services/", "nportpy/console/", "nportpy/gateway/"))
    ]
    assert starting == ["nportpy/console/checking.py"]
    tree = tree_of(starting[0])
    words = next(
        node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_CHECK"
    )
    assert words.value is not None
    assert ast.unparse(words.value) == "(sys.executable, '-m', 'nportpy', 'check', '--json', '-c')"
    assert "_said((*_CHECK, path))" in ast.unparse(tree)

"""What the package does for nobody: no shell, no eval, no pickle from outside, no program with others' words."""

import ast
from functools import cache

from tests.test_imports import MODULES, ROOT

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

SUSPECT = (
    *(
        "subprocess",
        "pickle",
        "marshal",
        "shelve",
        "runpy",
        "multiprocessing",
        "ProcessPool",
        "shell",
        "eval(",
        "exec(",
    ),
    *("compile(", "__import__", "system", "popen", "pty", "fork", "os.exec", "spawn", "yaml", "interact", "mktemp"),
    *("startfile", "logging.config", "import exec", "import eval"),
)
"""A module with none of these has nothing that is forbidden; most need not be parsed."""

EXCEPTIONS = {
    ("nportpy/config/__init__.py", "pickle.loads"): "what a child of ours has read: our interpreter, our module",
}
PROGRAMS = {
    "nportpy/config/__init__.py": "the loader's child: our interpreter and module, and the file's path",
    "nportpy/security/own.py": "the child that makes our own certificates: our interpreter and module",
    "nportpy/console/checking.py": "nportpy check: our interpreter and module, and the path that it was started with",
    "nportpy/simulator/process.py": "simulated lines: our interpreter and module",
    "nportpy/cli/extcap.py": "tshark -G folders, by the user's command",
    "nportpy/cli/init_service.py": "systemctl, by the user's command",
}
"""Everything that starts a program. Nothing in them comes from the network."""


@cache
def calls(path: str) -> list[tuple[str, ast.Call]]:
    """Every call of a module, by the whole name of what is called, whatever it was imported as."""
    text = (ROOT / path).read_text()
    rest = text.replace("re.compile(", "")
    if not any(word in rest for word in SUSPECT):
        return []
    tree = ast.parse(text)
    names: dict[str, str] = {}
    found: list[ast.Call] = []
    named: list[tuple[str, ast.Call]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                whole = each.name if each.asname else each.name.partition(".")[0]
                names[each.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Call):
            found.append(node)
    for call in found:
        steps = dotted(call.func)
        named.append((".".join([names.get(steps[0], steps[0]), *steps[1:]]), call))
    return named


def dotted(node: ast.expr) -> list[str]:
    steps = []
    while isinstance(node, ast.Attribute):
        steps.append(node.attr)
        node = node.value
    return [node.id if isinstance(node, ast.Name) else "", *reversed(steps)]


def test_s30_no_shell_no_eval_no_pickle_and_programs_are_named() -> None:
    for path, name, call in ((module, *each) for module in MODULES for each in calls(module)):
        where = f"{path}:{call.lineno}: {name}"
        assert name not in FORBIDDEN or (path, name) in EXCEPTIONS, where
        assert not name.startswith(PREFIXES), where
        assert not any(each.arg == "shell" for each in call.keywords), where
        if name in STARTS:
            assert path in PROGRAMS, where
            assert not isinstance(call.args[0], ast.JoinedStr | ast.BinOp | ast.Constant), f"{where}: a list of words"


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
    tree = ast.parse((ROOT / starting[0]).read_text())
    words = next(
        node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_CHECK"
    )
    assert words.value is not None
    assert ast.unparse(words.value) == "(sys.executable, '-m', 'nportpy', 'check', '--json', '-c')"
    assert "_said((*_CHECK, path))" in ast.unparse(tree)

"""The bill of materials of a release."""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "etc/packaging"))

from sbom import bill  # noqa: E402 - it lies beside the package


def test_s33_the_bill_of_materials_has_what_a_release_needs() -> None:
    """Packages of the test's environment: names count, and what leads to them."""
    made = bill()
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.5")
    assert made["metadata"]["component"]["name"] == "nportpy"
    components = {each["name"]: each for each in made["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        name = Requirement(text).name
        assert components[name]["version"]
        assert components[name]["purl"] == f"pkg:pypi/{name}@{components[name]['version']}"
        assert "scope" not in components[name]
    assert components["pydantic-core"]["version"], "what is needed by what is needed"
    assert components["cryptography"]["scope"] == "optional"
    assert not components.keys() & {"pytest", "ruff", "mypy", "nportpy"}
    references = {each["bom-ref"] for each in made["components"]}
    needs = {each["ref"]: each["dependsOn"] for each in made["dependencies"]}
    assert components["paho-mqtt"]["bom-ref"] in needs[made["metadata"]["component"]["bom-ref"]]
    assert {on for each in made["dependencies"] for on in each["dependsOn"]} <= references
    assert bill() == made

"""The seam between the families of bases and everything else."""

import ast
from pathlib import Path

import pytest

import fo1_data
from fo1_data.errors import CheckpointError
from fo1_data.model.bases import families
from fo1_data.model.bases.families import FAMILIES, family_of_base, family_of_checkpoint
from fo1_data.model.configuration import parse_config

PACKAGE = Path(fo1_data.__file__).parent
BASES = PACKAGE / "model" / "bases"
# What measures against transformers' own classes names the family that it can be measured on.
COMPARISONS = PACKAGE / "benchmarks"


def modules_outside_the_bases() -> list[Path]:
    repository = PACKAGE.parent
    folders = [PACKAGE, repository / "actors", repository / "services", repository / "schemas"]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    return [file for file in files if BASES not in file.parents and COMPARISONS not in file.parents]


def strings_and_imports(file: Path) -> list[str]:
    """Every string that is no docstring, and every imported module."""
    tree = ast.parse(file.read_text("utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    return found + [
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module is not None
    ]


def test_no_other_module_names_a_family() -> None:
    names = [
        name
        for family in FAMILIES
        for name in (family.base_type, family.checkpoint_type, family.architecture)
    ]
    naming = {
        str(file.relative_to(PACKAGE.parent)): text
        for file in modules_outside_the_bases()
        for text in strings_and_imports(file)
        if any(name in text for name in names)
    }
    assert naming == {}


def test_only_the_list_of_families_imports_their_modules() -> None:
    own = {file.stem for file in BASES.glob("*.py")} - {
        "__init__",
        "family",
        "families",
        "vision_tower",
        "full_attention",
    }
    importing = {
        file.name
        for file in [*modules_outside_the_bases(), BASES / "family.py", BASES / "vision_tower.py"]
        for module in strings_and_imports(file)
        if module.startswith("fo1_data.model.bases.") and module.rpartition(".")[2] in own
    }
    assert own
    assert importing == set()


def test_every_family_is_found_by_its_model_types() -> None:
    assert len({family.base_type for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family_of_base(family.base_type) is family
        assert family_of_checkpoint(family.checkpoint_type) is family
    assert families.RELEASED in FAMILIES


def test_a_base_is_no_checkpoint_yet() -> None:
    for family in FAMILIES:
        with pytest.raises(CheckpointError, match="fo1 model attach"):
            parse_config({"model_type": family.base_type})

"""The service's Kubernetes files are valid, and name settings, ports and secrets that exist."""

import os
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from known_commands import parse_command
from kuberay import KUBERNETES

from services.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "examples" / "clusters" / "kubernetes"
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


def documents() -> list[dict[str, Any]]:
    names = yaml.safe_load((FILES / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert {*names, "kustomization.yaml"} == {path.name for path in FILES.iterdir()}
    return [each for name in names for each in yaml.safe_load_all((FILES / name).read_text(encoding="utf-8"))]


DOCUMENTS = documents()


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in DOCUMENTS if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_kubernetes_takes_it(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_service_starts_with_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (container,) = one("Deployment", "fo1")["spec"]["template"]["spec"]["containers"]
    values = dict(one("ConfigMap", "fo1-settings")["data"])
    for entry in container["env"]:
        values[entry["name"]] = entry.get("value", "0123456789abcdef")
    for name in os.environ:
        if name.startswith("FO1_"):
            monkeypatch.delenv(name)
    for name, value in values.items():
        monkeypatch.setenv(name, re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], value))
    monkeypatch.setenv("FO1_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    given = parse_command(container["args"][1:])
    settings = load_settings(host=given["host"], port=given["port"])
    settings.check_exposure()
    of_settings = {name for name in values if name.startswith("FO1_")} - {"FO1_DATABASE_PASSWORD"}
    assert {name.removeprefix("FO1_").lower() for name in of_settings} <= settings.model_fields_set
    assert f"{settings.database_url}".endswith("@fo1-postgresql/fo1")
    assert settings.storage_roots == ["s3://bucket"]
    (port,) = container["ports"]
    assert port["containerPort"] == settings.port


def test_secrets_are_those_that_the_page_tells_to_make() -> None:
    used = set(re.findall(r"name: fo1-secrets, key: (\w+)", "".join(p.read_text() for p in FILES.iterdir())))
    (told,) = re.findall(r"cat > secrets\.env <<END\n(.*?)\nEND", PAGE, re.DOTALL)
    assert used == {line.partition("=")[0] for line in told.splitlines()}


def test_services_lead_to_pods() -> None:
    for name, kind in (("fo1", "Deployment"), ("fo1-postgresql", "StatefulSet")):
        labels = one(kind, name)["spec"]["template"]["metadata"]["labels"]
        assert one("Service", name)["spec"]["selector"].items() <= labels.items()

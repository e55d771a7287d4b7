"""Validate rendered manifests against CustomResourceDefinitions as an API server does, strictly.

`python tests/deploy/crds.py FOLDER < MANIFESTS`, in .venv-deploy: prints each error and each kind
that it validated. Unknown fields are errors; defaults are filled in before the rules (CEL) run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cel
import jsonschema
import yaml

Schema = dict[str, Any]
FUNCTIONS = {"isURL": lambda text: bool(urlsplit(text).scheme and urlsplit(text).netloc)}
"""Of Kubernetes, beside CEL's own."""


def schemas(folder: Path) -> dict[tuple[str, str], Schema]:
    """Return the schema of each (apiVersion, kind) that the definitions in a folder serve."""
    found = {}
    for path in folder.glob("*.yaml"):
        for spec in (each["spec"] for each in yaml.safe_load_all(path.read_text()) if each):
            for version in filter(lambda each: each["served"], spec["versions"]):
                name = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                schema = version["schema"]["openAPIV3Schema"]
                found[name] = closed(schema | {"properties": schema["properties"] | {
                    "apiVersion": {}, "kind": {}, "metadata": {},
                }})  # fmt: skip
    return found


def closed(schema: Any) -> Any:
    """Return a schema that admits no unknown field, in JSON Schema's own words."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for key in ("items", "additionalProperties", "not"):
        if key in made:
            made[key] = closed(made[key])
    if "properties" in made:
        made["properties"] = {name: closed(each) for name, each in made["properties"].items()}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made


def filled(value: Any, schema: Schema) -> Any:
    """Return a value with the defaults of its schema."""
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        value = {n: s["default"] for n, s in fields.items() if "default" in s} | value
        return {n: filled(each, fields.get(n, {})) for n, each in value.items()}
    if isinstance(value, list):
        return [filled(each, schema.get("items", {})) for each in value]
    return value


def kept(rule: str, context: cel.Context) -> bool:
    """Return whether a rule holds; one that cannot be evaluated does not, as at an API server."""
    try:
        return bool(cel.evaluate(rule, context))
    except (KeyError, RuntimeError, TypeError, ValueError):
        return False


def broken_rules(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Yield the message of each rule that a value breaks; rules on a change have no old value."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"]:
            continue
        context = cel.Context({"self": value})
        for name, function in FUNCTIONS.items():
            context.add_function(name, function)
        if not kept(rule["rule"], context):
            yield f"{path}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        for name, each in value.items():
            fields = schema.get("properties", {})
            yield from broken_rules(each, fields.get(name, {}), f"{path}.{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from broken_rules(each, schema.get("items", {}), f"{path}[{number}]")


def errors(found: Any, schema: Schema) -> Iterator[str]:
    """Yield what an API server would refuse an object for."""
    found = filled(found, schema)
    wrong = list(jsonschema.Draft4Validator(schema).iter_errors(found))
    yield from (f"{each.json_path}: {each.message}" for each in wrong)
    if not wrong:
        yield from broken_rules(found, schema, "$")


def main() -> int:
    known, failed = schemas(Path(sys.argv[1])), False
    for each in yaml.safe_load_all(sys.stdin):
        schema = known.get((each["apiVersion"], each["kind"]))
        name = f"{each['kind']}/{each['metadata']['name']}"
        wrong = [*errors(each, schema)] if schema else []
        if schema:
            print(name, *wrong, sep="\n  ")
        failed |= bool(wrong)
    return failed


if __name__ == "__main__":
    sys.exit(main())

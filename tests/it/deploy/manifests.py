"""Holds Kubernetes manifests on standard input to the published schemas, and says how many they are.

Those of Kubernetes itself in two versions, unknown keys refused; those of the Prometheus operator by its generated
models, which ignore unknown keys: what is lost on the way through them was unknown.
"""
import json
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

# The oldest one with native sidecars, and the newest one with a schema.
VERSIONS = ["1.29", "1.37"]


def lost(written, kept, path):
    if isinstance(written, dict) and isinstance(kept, dict):
        for key, value in written.items():
            yield from lost(value, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key} is unknown"]
    elif isinstance(written, list) and isinstance(kept, list):
        for index, (one, other) in enumerate(zip(written, kept)):
            yield from lost(one, other, f"{path}[{index}]")


def problems(manifest):
    if manifest["apiVersion"] == "monitoring.coreos.com/v1":
        try:
            model = getattr(operator, manifest["kind"]).model_validate(manifest)
        except Exception as error:  # each is a finding
            return [str(error)]
        return list(lost(manifest, json.loads(model.model_dump_json(by_alias=True, exclude_none=True)), ""))
    found = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except Exception as error:
            found.append(f"{version}: {getattr(error, 'message', error)} at {list(getattr(error, 'path', []))}")
    return found


manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
wrong = [f"{m['kind']} {m['metadata']['name']}: {p}" for m in manifests for p in problems(m)]
if wrong:
    sys.exit("\n".join(wrong))
print(len(manifests), "manifests")

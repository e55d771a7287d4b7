"""Stands in for a cluster, for the real kubectl: keeps objects, plays controllers and kubelet.

It knows what deploy.sh relies on: what is immutable is refused, an update makes a new ReplicaSet,
and pods run, fail, or wait for an image. It checks no field (test_validators.py does) and admits
everything.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
GROUPS = {
    "v1": "Namespace ServiceAccount Service Secret Pod Event",
    "apps/v1": "Deployment StatefulSet ReplicaSet",
    "batch/v1": "Job CronJob",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "policy/v1": "PodDisruptionBudget",
    "networking.k8s.io/v1": "NetworkPolicy",
}


def plural(kind: str) -> str:
    return kind.lower()[:-1] + "ies" if kind.endswith("y") else kind.lower() + "s"


def merged(old: Any, new: Any) -> Any:
    """Return an object with a patch; a list of named things keeps those that are not patched."""
    if isinstance(old, dict) and isinstance(new, dict):
        new = {key: each for key, each in new.items() if not key.startswith("$")}
        return old | {key: merged(old.get(key), each) for key, each in new.items()}
    if isinstance(old, list) and new and isinstance(new[0], dict) and "name" in new[0]:
        patched = {each["name"]: each for each in new}
        return [merged(each, patched.get(each["name"], {})) for each in old]
    return new


class Cluster(ThreadingHTTPServer):
    """A cluster; `broken_images` cannot be pulled, migrations of `broken_migrations` fail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[tuple[str, str], Object] = {}
        self.broken_images: set[str] = set()
        self.broken_migrations: set[str] = set()
        self.written: list[str] = []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def image(self, deployment: str) -> str:
        """Return the image that a Deployment asks for."""
        found: str = self.objects["deployments", deployment]["spec"]["template"]["spec"][
            "containers"
        ][0]["image"]
        return found

    def serving(self, app: str) -> set[str]:
        """Return the images of an application's ready pods."""
        return {
            pod["spec"]["containers"][0]["image"]
            for (kind, _), pod in self.objects.items()
            if kind == "pods" and pod["metadata"]["labels"].get("app.kubernetes.io/name") == app
            and "ready" in pod
        }  # fmt: skip

    def put(self, kind: str, name: str, found: Object) -> None:
        """Keep an object, and do what its controller would do."""
        old = self.objects.get((kind, name))
        self.objects[kind, name] = found
        self.written.append(f"{kind}/{name}")
        found["metadata"].setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        same = old is not None and old["spec"] == found["spec"] if "spec" in found else True
        if kind == "jobs" and old is None:
            self.run_job(name, found)
        if kind == "deployments" and not same:
            self.roll_out(name, found)
        if kind == "statefulsets":
            found["spec"]["updateStrategy"] = {"type": "RollingUpdate"}
            found["status"] = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1}

    def pod(self, name: str, template: Object, labels: Object) -> bool:
        """Start a pod; return whether its image could be pulled."""
        made = {"metadata": {"name": name, "labels": template["metadata"]["labels"] | labels},
                "spec": template["spec"]}  # fmt: skip
        image = template["spec"]["containers"][0]["image"]
        broken = image in self.broken_images
        state = {"waiting": {"reason": "ImagePullBackOff"}} if broken else {"running": {}}
        made["status"] = {"containerStatuses": [{"name": "it", "state": state}]}
        if broken:
            self.event(f"Failed to pull image {image}")
        self.objects["pods", name] = made
        return not broken

    def event(self, message: str) -> None:
        at = f"2026-01-01T00:00:{len(self.objects) % 60:02}Z"  # newer ones have no lastTimestamp
        metadata = {"name": message, "creationTimestamp": at}
        self.objects["events", message] = {"metadata": metadata, "message": message,
                                           "type": "Warning"}  # fmt: skip

    def run_job(self, name: str, job: Object) -> None:
        template = job["spec"]["template"]
        pulled = self.pod(f"{name}-x", template, {"batch.kubernetes.io/job-name": name})
        fails = template["spec"]["containers"][0]["image"] in self.broken_migrations
        job["status"] = {} if not pulled else {"failed": 2} if fails else {"succeeded": 1}
        if fails:
            self.event(f"Job {name} has failed pods")

    def roll_out(self, name: str, found: Object) -> None:
        notes = found["metadata"].setdefault("annotations", {})
        revision = int(notes.get("deployment.kubernetes.io/revision", 0)) + 1
        notes["deployment.kubernetes.io/revision"] = str(revision)
        labels = {"pod-template-hash": f"h{revision}"}
        self.objects["replicasets", f"{name}-{revision}"] = {"metadata": {
            "name": f"{name}-{revision}", "annotations": dict(notes),
            "labels": found["spec"]["template"]["metadata"]["labels"] | labels,
        }}  # fmt: skip
        good = self.pod(f"{name}-{revision}", found["spec"]["template"], labels)
        if good:  # the old pods end when the new one is ready
            for other in range(1, revision):
                self.objects.pop(("pods", f"{name}-{other}"), None)
            self.objects["pods", f"{name}-{revision}"]["ready"] = True
        generation = found["metadata"].get("generation", 0) + 1
        found["metadata"]["generation"] = generation
        found["status"] = {"observedGeneration": generation, "replicas": 1, "availableReplicas": 1,
                           "updatedReplicas": int(good), "readyReplicas": 1}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    server: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def answer(self, body: Any, status: int = 200, kind: str = "application/json") -> None:
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def refuse(self, status: int, reason: str, message: str) -> None:
        self.answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
                     "reason": reason, "message": message}, status)  # fmt: skip

    def handle_one(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        with self.server.lock:
            self.route(url.path.strip("/").split("/"), query, sent)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

    def route(self, path: list[str], query: dict[str, str], sent: Any) -> None:
        cluster = self.server
        if path == ["api"]:
            return self.answer({"kind": "APIVersions", "versions": ["v1"]})
        if path == ["apis"]:
            listed = []
            for each in GROUPS:
                version = {"groupVersion": each, "version": each.split("/")[-1]}
                listed.append({"name": each.split("/")[0], "versions": [version],
                               "preferredVersion": version})  # fmt: skip
            listed = listed[1:]  # v1 has no group
            return self.answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
        group = "/".join(path[1:2] if path[0] == "api" else path[1:3])
        if group not in GROUPS:
            return self.refuse(404, "NotFound", "no such path")
        rest = path[2:] if path[0] == "api" else path[3:]
        kinds = {plural(kind): kind for kind in GROUPS[group].split()}
        if not rest:
            return self.answer({"kind": "APIResourceList", "groupVersion": group, "resources": [
                {"name": name, "singularName": kind.lower(), "kind": kind,
                 "namespaced": kind != "Namespace", "verbs": ["get", "list", "create", "patch"]}
                for name, kind in kinds.items()
            ]})  # fmt: skip
        if rest[0] == "namespaces" and len(rest) > 2:
            rest = rest[2:]
        kind, name = rest[0], rest[1] if len(rest) > 1 else ""
        typed = {"apiVersion": group, "kind": kinds[kind]}
        if self.command == "POST":
            name = sent["metadata"]["name"]
            cluster.put(kind, name, sent)
            return self.answer(typed | sent, 201)
        if not name:
            chosen = [
                typed | each for (k, n), each in list(cluster.objects.items())
                if k == kind and self.selected(each, n, query)
            ]  # fmt: skip
            if "watch" in query:  # nothing changes: kubectl's own time limit ends it
                return self.answer("")
            return self.answer({"kind": f"{kinds[kind]}List", "apiVersion": group, "items": chosen,
                                "metadata": {"resourceVersion": "1"}})  # fmt: skip
        found = cluster.objects.get((kind, name))
        if found is None:
            return self.refuse(404, "NotFound", f'{kind} "{name}" not found')
        if rest[2:] == ["log"]:
            return self.answer(f"log of {name}\n", kind="text/plain")
        if self.command == "PATCH":
            patched = merged(json.loads(json.dumps(found)), sent)
            if kind == "jobs" and patched["spec"]["template"] != found["spec"]["template"]:
                return self.refuse(422, "Invalid", "spec.template: field is immutable")
            cluster.put(kind, name, patched)
        if self.command == "DELETE":
            del cluster.objects[kind, name]
        return self.answer(typed | cluster.objects.get((kind, name), found))

    def selected(self, each: Object, name: str, query: dict[str, str]) -> bool:
        labels = each["metadata"].get("labels", {})
        wanted = dict(re.findall(r"([^=,]+)=([^,]+)", query.get("labelSelector", "")))
        field = dict(re.findall(r"([^=,]+)=([^,]+)", query.get("fieldSelector", "")))
        return wanted.items() <= labels.items() and field.get("metadata.name", name) == name

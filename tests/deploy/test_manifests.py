"""What the manifests promise, and that they agree with code, images and the compose file."""

from __future__ import annotations

import re
import shutil
from typing import Any

import click
import pytest
import yaml

import cardiowatch
from api.__main__ import KEEP_ALIVE_S
from api.routes.predictions import KEYLESS
from settings import Settings
from tests.deploy.manifests import K8S, objects, of_kind, ours, pods, settings_of, stacks
from tests.programs import ROOT

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="needs kubectl: https://kubernetes.io/docs/tasks/tools"
)
every_stack = pytest.mark.parametrize(("overlay", "components"), stacks())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def dockerfile(name: str) -> str:
    return (ROOT / f"Dockerfile.{name}").read_text()


def ours_only(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the pods that run our own images."""
    return {name: pod for name, pod in pods(found) if name.startswith("cardiowatch-")}


@every_stack
def test_the_namespace_comes_before_what_needs_it(
    overlay: str, components: tuple[str, ...]
) -> None:
    assert [each["kind"] for each in objects(overlay, components)].index("Namespace") == 0


@every_stack
def test_the_autoscaler_owns_the_number_of_replicas(
    overlay: str, components: tuple[str, ...]
) -> None:
    found = objects(overlay, components)
    for scaler in of_kind(found, "HorizontalPodAutoscaler").values():
        target = of_kind(found, "Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"]
        assert scaler["spec"]["minReplicas"] == (2 if overlay == "gke" else 1)
        assert scaler["spec"]["maxReplicas"] == 3
        # A pod's own percentage would count the proxy beside it.
        metric = scaler["spec"]["metrics"][0]["containerResource"]
        containers = target["spec"]["template"]["spec"]["containers"]
        assert metric["container"] in [each["name"] for each in containers]


@every_stack
def test_a_pod_leaves_a_dead_node_within_seconds_and_versions_are_spread(
    overlay: str, components: tuple[str, ...]
) -> None:
    for name, each in of_kind(objects(overlay, components), "Deployment").items():
        pod = each["spec"]["template"]["spec"]
        seconds = {t["key"]: t["tolerationSeconds"] for t in pod["tolerations"]}
        assert seconds == dict.fromkeys(
            ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"), 10
        )
        spread = {c["topologyKey"]: c for c in pod["topologySpreadConstraints"]}
        assert spread.keys() == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, name
        zone = spread["topology.kubernetes.io/zone"]["whenUnsatisfiable"]
        assert zone == ("ScheduleAnyway" if overlay == "local" else "DoNotSchedule")
        for constraint in spread.values():
            assert constraint["matchLabelKeys"] == ["pod-template-hash"]


LIMITED = {"cpu": 1, "memory": 1}
"""Of a common LimitRange: cores and GiB per container."""


@every_stack
def test_a_container_fits_a_common_limit_range_or_the_page_names_it(
    overlay: str, components: tuple[str, ...]
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text().split("### Resources")[1]
    for name, pod in pods(objects(overlay, components)):
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            limits = container["resources"]["limits"]
            memory = int(limits["memory"][:-2]) / {"Mi": 1024, "Gi": 1}[limits["memory"][-2:]]
            cores = int(limits["cpu"].removesuffix("m")) / (1000 if "m" in limits["cpu"] else 1)
            if cores > LIMITED["cpu"] or memory > LIMITED["memory"]:
                assert f"`{container['name']}`" in page.split("\n### ")[0], name


@every_stack
def test_no_pod_has_a_sqlite_log(overlay: str, components: tuple[str, ...]) -> None:
    """A secret holds the URL, and in a pod the API accepts only PostgreSQL."""
    for pod in ours_only(objects(overlay, components)).values():
        url = settings_of(pod)["CARDIOWATCH_DATABASE_URL"]
        assert url == {"secretKeyRef": {"name": "cardiowatch-database", "key": "url"}}


@every_stack
def test_no_disruption_budget_blocks_a_drain(overlay: str, components: tuple[str, ...]) -> None:
    for budget in of_kind(objects(overlay, components), "PodDisruptionBudget").values():
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["maxUnavailable"] == 1


@every_stack
def test_every_pod_is_locked_down(overlay: str, components: tuple[str, ...]) -> None:
    for name, pod in pods(objects(overlay, components)):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name  # CARDIOWATCH_API_PORT=tcp://...
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"].keys() == {"requests", "limits"}, name


@every_stack
def test_every_setting_and_module_exists(overlay: str, components: tuple[str, ...]) -> None:
    known = {f"CARDIOWATCH_{name.upper()}" for name in Settings.model_fields}
    for name, pod in ours_only(objects(overlay, components)).items():
        assert settings_of(pod).keys() <= known, name
        assert "command" not in ours(pod), name  # or the image's entry point, cardiowatch, is lost
        for argument in ours(pod).get("args", ()):
            assert argument in cardiowatch.root.list_commands(click.Context(cardiowatch.root)), name


@every_stack
def test_every_secret_is_one_that_the_operations_page_makes(
    overlay: str, components: tuple[str, ...]
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    named = set(re.findall(r"secret(?:Name|KeyRef).*?'(cardiowatch-\w+)'",
                           str(objects(overlay, components))))  # fmt: skip

    assert named >= {
        "cardiowatch-database", "cardiowatch-keys", "cardiowatch-seal", "cardiowatch-dashboard",
    }  # fmt: skip
    for name in named:
        assert f"secret generic {name}" in page


@every_stack
def test_services_lead_to_ports_that_the_images_open(
    overlay: str, components: tuple[str, ...]
) -> None:
    found = objects(overlay, components)
    for image in ("api", "dashboard"):
        pod = ours_only(found)[f"cardiowatch-{image}"]
        port = getattr(Settings(), f"{image}_port")
        assert ours(pod)["ports"] == [{"name": "http", "containerPort": port}]
        service = of_kind(found, "Service")[f"cardiowatch-{image}"]
        assert [p["port"] for p in service["spec"]["ports"]] == [port]
        assert f"EXPOSE {port}\n" in dockerfile(image)
        assert f"CARDIOWATCH_{image.upper()}_PORT={port}" in dockerfile(image)
        assert COMPOSE["services"][image]["ports"][0].endswith(f":{port}")


@every_stack
def test_the_apis_probes_ask_calls_that_need_no_key(
    overlay: str, components: tuple[str, ...]
) -> None:
    container = ours(ours_only(objects(overlay, components))["cardiowatch-api"])
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "readiness", "liveness")
    }

    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(paths.values()) <= KEYLESS


@every_stack
def test_a_pod_may_take_as_long_to_end_as_it_needs(
    overlay: str, components: tuple[str, ...]
) -> None:
    """It waits before SIGTERM, then drains for 1 s and finishes requests for 30 s at most."""
    pod = ours_only(objects(overlay, components))["cardiowatch-api"]
    waits = int(ours(pod)["lifecycle"]["preStop"]["exec"]["command"][1])

    assert waits >= 3
    assert pod["terminationGracePeriodSeconds"] >= waits + 1 + 30


@every_stack
def test_the_keys_are_mounted_where_the_image_looks(
    overlay: str, components: tuple[str, ...]
) -> None:
    mounts = ours(ours_only(objects(overlay, components))["cardiowatch-api"])["volumeMounts"]
    folder = next(m["mountPath"] for m in mounts if m["name"] == "keys")

    assert f"CARDIOWATCH_KEYS_FILE={folder}/keys.json" in dockerfile("api")
    assert f"./var/keys:{folder}:ro" in COMPOSE["services"]["api"]["volumes"]


@every_stack
def test_the_key_of_the_log_is_the_apis_alone(overlay: str, components: tuple[str, ...]) -> None:
    for name, pod in ours_only(objects(overlay, components)).items():
        volumes = {v["name"]: v.get("secret") for v in pod["volumes"]}
        mounts = {m["name"]: m["mountPath"] for m in ours(pod)["volumeMounts"]}
        secret = {"secretName": "cardiowatch-seal", "defaultMode": 0o440}
        assert (secret in volumes.values()) is (name == "cardiowatch-api"), name
        if name == "cardiowatch-api":
            assert volumes["seal"] == secret
            asked = settings_of(pod)
            assert asked["CARDIOWATCH_LOG_HMAC_KEY_FILE"] == f"{mounts['seal']}/log.key"
            assert asked["CARDIOWATCH_LOG_HEADS_FILE"] == "-"  # a pod's file ends with it


def test_compose_mounts_the_key_of_the_log_for_the_api_alone() -> None:
    for name, service in COMPOSE["services"].items():
        mounted = [v for v in service.get("volumes", []) if "log.key" in str(v)]
        assert [v["target"] for v in mounted] == (
            [service["environment"]["CARDIOWATCH_LOG_HMAC_KEY_FILE"]] if name == "api" else []
        )
    api = COMPOSE["services"]["api"]
    folder = next(str(v).split(":")[1] for v in api["volumes"] if str(v).startswith("heads:"))
    assert api["environment"]["CARDIOWATCH_LOG_HEADS_FILE"].startswith(f"{folder}/")
    assert f"--mode 700 {folder}\n" in dockerfile("api")


@every_stack
def test_everything_is_denied_first(overlay: str, components: tuple[str, ...]) -> None:
    policies = of_kind(objects(overlay, components), "NetworkPolicy")

    assert policies["deny-all"]["spec"] == {
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
    }  # fmt: skip
    for policy in policies.values():  # {} would open a port to everybody
        for rule in (*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])):
            assert rule.get("from") or rule.get("to")
            assert rule["ports"]


def test_behind_googles_load_balancer_a_page_lives_and_the_metrics_stay_inside() -> None:
    found = objects("gke")
    policy = of_kind(found, "GCPBackendPolicy")["cardiowatch-dashboard"]["spec"]["default"]
    routed = [
        match["path"]["value"]
        for rule in of_kind(found, "HTTPRoute")["cardiowatch-api"]["spec"]["rules"]
        for match in rule["matches"]
    ]

    assert policy["timeoutSec"] >= 3600
    assert policy["connectionDraining"]["drainingTimeoutSec"] >= 60
    assert policy["sessionAffinity"]["type"] == "GENERATED_COOKIE"
    assert policy["iap"]["enabled"] is True
    assert KEEP_ALIVE_S > 600
    assert "/metrics" not in routed
    assert "/" not in routed


def test_behind_googles_login_its_signature_is_verified_once_its_keys_are_there() -> None:
    """Without the ConfigMap the setting is absent, so that a first deployment starts."""
    pod = ours_only(objects("gke"))["cardiowatch-dashboard"]
    asked = settings_of(pod)
    source = asked["CARDIOWATCH_IAP_AUDIENCE"]["configMapKeyRef"]
    volume = next(v["configMap"] for v in pod["volumes"] if v["name"] == "iap")
    folder = next(m["mountPath"] for m in ours(pod)["volumeMounts"] if m["name"] == "iap")
    page = (ROOT / "docs" / "operations.md").read_text()

    assert source == {"name": volume["name"], "key": "audience", "optional": True}
    assert volume["optional"] is True
    assert asked["CARDIOWATCH_IAP_KEYS_FILE"] == f"{folder}/keys.json"
    assert f"create configmap {volume['name']} --from-literal=audience=" in page


def test_several_dashboards_sign_their_cookies_alike() -> None:
    pod = ours_only(objects("gke"))["cardiowatch-dashboard"]

    assert settings_of(pod)["CARDIOWATCH_COOKIE_SECRET_FILE"].startswith(
        next(m["mountPath"] for m in ours(pod)["volumeMounts"] if m["name"] == "cookie")
    )


def test_the_cluster_has_the_alerts_that_are_tested() -> None:
    tested = yaml.safe_load((K8S / "observability" / "alerts.yml").read_text())
    in_cluster = of_kind(objects("gke"), "Rules")["cardiowatch"]["spec"]["groups"]
    disk = of_kind(objects("gke"), "GlobalRules")["cardiowatch-disk"]["spec"]["groups"][0]["rules"]

    assert [*in_cluster[0]["rules"], disk[0] | {"expr": "", "annotations": {}}] == [
        rule | ({"expr": "", "annotations": {}} if rule["alert"] == "CardiowatchDisk" else {})
        for rule in tested["groups"][0]["rules"]
    ]


def test_each_alert_is_explained_and_tested() -> None:
    rules = yaml.safe_load((K8S / "observability" / "alerts.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((ROOT / "tests" / "deploy" / "alerts_test.yml").read_text())["tests"]
    page = (ROOT / "docs" / "operations.md").read_text()
    for name in [rule["alert"] for rule in rules]:
        cases = [c for t in tests for c in t["alert_rule_test"] if c["alertname"] == name]
        assert any("exp_alerts" in case for case in cases), name
        assert any("exp_alerts" not in case for case in cases), name
        assert f"### {name}\n" in page


def test_both_images_are_made_alike() -> None:
    """The same stage trains the model for both, so both serve the same version."""
    stages = [dockerfile(name).split("AS trained")[1].split("\nFROM ")[0]
              for name in ("api", "dashboard")]  # fmt: skip

    assert stages[0] == stages[1]


@pytest.mark.parametrize("image", ["api", "dashboard"])
def test_an_image_runs_as_nobody_known_and_names_its_base_once(image: str) -> None:
    text = dockerfile(image)
    user = re.search(r"^USER (\d+):\d+$", text, re.MULTILINE)

    assert user is not None
    assert int(user[1]) >= 10_000
    assert "--require-hashes" in text
    assert "curl" not in text


@pytest.mark.parametrize("service", ["migrate", "api", "dashboard", "monitor"])
def test_a_service_of_the_compose_stack_is_locked_down(service: str) -> None:
    found = COMPOSE["services"][service]

    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    known = {f"CARDIOWATCH_{name.upper()}" for name in Settings.model_fields}
    assert found["environment"].keys() <= known


def test_what_serves_nothing_is_asked_whether_it_looked() -> None:
    """The image's own check asks for a page; with none at all `up --wait` fails (Compose 2.26)."""
    monitor = COMPOSE["services"]["monitor"]

    assert "touch /tmp/looked" in monitor["entrypoint"][2]
    assert "find /tmp/looked" in monitor["healthcheck"]["test"][1]

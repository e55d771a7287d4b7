"""Who may do what: the role stands beside each route, and no other way of writing a path opens it.

The matrix is made from the application's own route table, so that a new route is in it.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest
from starlette.routing import Mount
from starlette.testclient import TestClient

from api.app import Dispatcher, create_app
from api.auth.api_keys import ROLES
from api.auth.authorization import ANY_KEY, NO_KEY, required_role
from db.migrate import migrate
from db.reader.queries import Reader
from settings import Settings
from tests.api.conftest import PATIENT, add_key
from tests.programs import free_port, running, wait_for

pytestmark = pytest.mark.slow

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SUFFIXES = (
    "%0a", "%0A", "%0d", "%0d%0a", "%00", "%09", "%0b", "%1f", "%7f", "%20", "%c2%85", "%e2%80%a8",
    "%0a%0a", "/", "//", "/%0a", "%2f", "/.", "/..", "/x/..", "/%2e%2e", ".", "..", ".json", ";",
    ";x=1", "%3b", "%3f", "%23", "\\", "%5c", "*", "%", "%zz", "%25", "%250a", "%ff",
)  # fmt: skip
PREFIXES = ("/", "/.", "/x/..", "/%2e", "/%2e%2e", "/%0a", "%0a", "\\", "/;", "/x")


@dataclass(frozen=True)
class RoleRoute:
    """A route of the application: a path with an id that is in the log, all its paths, role."""

    path: str
    pattern: str
    methods: frozenset[str]
    role: str

    def admits(self, role: str, method: str, target: str) -> bool:
        """Return whether a role may ask this, read by another program than the router."""
        path = unquote(target.partition("?")[0])
        right = path.isprintable() and re.fullmatch(self.pattern, path) and method in self.methods
        return bool(right) and _suffices(role, self.role)


@dataclass
class Service:
    """The running service with a key for each role; "" = no key."""

    port: int
    database_url: str
    keys: dict[str, dict[str, str]]
    known_id: str


def declared(gate: Dispatcher) -> Iterator[tuple[str, frozenset[str], object]]:
    """Yield path, methods and handler of every route, of included routers too."""
    for outer in gate.app.router.routes:
        included = getattr(outer, "original_router", None)
        for route in included.routes if included else [outer]:
            if isinstance(route, Mount):
                yield f"{route.path}/swagger-ui.css", frozenset({"GET", "HEAD"}), None
            else:
                yield route.path, frozenset(route.methods), route.endpoint


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("roles")
    url, keys_file, port = f"sqlite:///{folder}/log.db", folder / "keys.json", free_port()
    migrate(url, lambda _: None)
    keys = {"": {}} | {role: add_key(keys_file, role) for role in ROLES}
    settings = {"database_url": url, "model_dir": model_dir, "keys_file": keys_file, "key_rate": 0}
    with running("-m", "api", api_port=port, **settings) as api:
        wait_for(f"http://127.0.0.1:{port}/readyz", api)
        with connection(port) as caller:
            made = ask(caller, "POST", "/predict", keys["admin"])
        assert api.stdout
        reading = Thread(target=api.stdout.read)  # a line a request would fill the pipe
        reading.start()
        yield Service(port, url, keys, json.loads(made.body)["id"])
        api.terminate()
        reading.join()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Dispatcher:
    url = f"sqlite:///{tmp_path_factory.mktemp('routes')}/log.db"
    migrate(url, lambda _: None)
    return create_app(Settings(database_url=url, model_dir=model_dir))


def routes(gate: Dispatcher, known_id: str) -> list[RoleRoute]:
    return [
        RoleRoute(
            path.replace("{id}", known_id),
            f"{path.rpartition('/')[0]}/.*" if handler is None else path.replace("{id}", "[^/]+"),
            methods | {"HEAD"} if "GET" in methods else methods,  # HEAD answers wherever GET does
            ANY_KEY if handler is None else required_role(handler),
        )
        for path, methods, handler in declared(gate)
    ]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    kind: str
    """The last part of a problem's type."""

    @property
    def accepted(self) -> bool:
        """Whether a handler was reached: anything but no key, no role, no such address."""
        if self.status in (400, 401, 403, 405):
            return False
        return self.status != 404 or self.kind not in ("http", "")


def connection(port: int) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20))


def ask(
    caller: http.client.HTTPConnection, method: str, target: str, key: dict[str, str]
) -> Answer:
    """Send a target as it is written, with a body that its route accepts."""
    bodies = {"outcome": {"outcome": 1}, "response": {"decision": "agree"}, "alerts": {}}
    body = next((body for name, body in bodies.items() if name in target), PATIENT)
    sent = json.dumps([body] if "batch" in target else body) if method in ("POST", "PUT") else None
    caller.request(method, target, sent, {"Content-Type": "application/json"} | key)
    reply = caller.getresponse()
    content = reply.read()
    problem = reply.status >= 400 and content
    return Answer(
        reply.status, content, json.loads(content)["type"].rpartition(":")[2] if problem else ""
    )


def odd_paths(path: str) -> list[str]:
    """Return other ways to write a path; those that mean the same are among them."""
    inner = path[1:].replace("/", "//"), path[1:].replace("/", "/./"), path[1:].replace("/", "%2f")
    letters = "".join(f"%{ord(letter):02x}" for letter in path[1:])
    made = [
        *(path + suffix for suffix in SUFFIXES),
        *(prefix + path for prefix in PREFIXES if (prefix + path).startswith("/")),
        *("/" + edit_keys for edit_keys in inner),
        path.upper(), path.title(), "/" + path[1:].capitalize(),
        "/" + letters, f"/%{ord(path[1]):02x}{path[2:]}", f"%2f{path[1:]}",
        path + "%0a?format=csv", path + "%0a?explain=true", path + "?x=%0a",
    ]  # fmt: skip
    return sorted({odd for odd in made if odd.startswith("/") and odd != path})


def test_every_route_declares_what_its_callers_need(gate: Dispatcher) -> None:
    assert {
        path: getattr(handler, "required_role", None) for path, _, handler in declared(gate)
    } == {
        "/predict": "predict",
        "/predict/batch": "predict",
        "/predictions": "read",
        "/predictions/search": "read",
        "/predictions/{id}": "read",
        "/predictions/{id}/explanation": "read",
        "/predictions/{id}/outcome": "outcome",
        "/predictions/{id}/response": "predict",
        "/alerts/{id}/acknowledgement": "operate",
        "/model": ANY_KEY,
        "/schema": ANY_KEY,
        "/docs": ANY_KEY,
        "/openapi.json": ANY_KEY,
        "/docs/assets/swagger-ui.css": None,  # mounted: whoever has a key
        "/healthz": NO_KEY,
        "/readyz": NO_KEY,
        "/metrics": NO_KEY,
    }


def test_a_route_that_declares_nothing_is_the_administrators(
    guarded: Callable[[], TestClient], keys_file: Path
) -> None:
    keys = [add_key(keys_file, role) for role in ("read", "admin")]
    client = guarded()
    client.app.app.get("/forgotten")(lambda: {})  # type: ignore[attr-defined]

    replies = [client.get("/forgotten", headers=key) for key in keys]

    assert [reply.status_code for reply in replies] == [403, 200]


@pytest.mark.parametrize("role", ["", *ROLES])
def test_a_path_opens_only_its_own_route_and_only_to_its_role(
    service: Service, gate: Dispatcher, role: str
) -> None:
    """Every route x way of writing it x method: none is accepted where it has no access."""
    wrong, asked, rows = [], 0, 0
    key = service.keys[role]
    with connection(service.port) as caller:
        table = routes(gate, service.known_id)
        for route in table:
            for target in (route.path, *odd_paths(route.path)):
                for method in METHODS:
                    may = any(other.admits(role, method, target) for other in table)
                    answer = ask(caller, method, target, key)
                    asked += 1
                    rows += answer.status == 200 and route.path.startswith("/predict")
                    if (answer.accepted and not may) or answer.status >= 500:
                        wrong.append((method, target, answer.status, answer.kind))
                    own = target == route.path and route.admits(role, method, target)
                    if own and not answer.accepted:
                        wrong.append((method, target, answer.status, "kept out"))

    assert wrong == []
    assert asked > 14 * 40 * len(METHODS)
    assert bool(rows) == (role not in ("", "operate", "on-behalf"))  # which serves no prediction


def _suffices(role: str, needed: str) -> bool:
    if needed == NO_KEY:
        return True
    return role != "" and (needed == ANY_KEY or role in (needed, "admin"))


@pytest.mark.parametrize(
    ("role", "method", "target"),
    [
        ("predict", "GET", "/predictions%0a?format=csv"),
        ("read", "POST", "/predict%0a"),
        ("", "GET", "/metrics%0a"),
    ],
)
def test_a_line_end_after_a_path_opens_nothing(
    service: Service, role: str, method: str, target: str
) -> None:
    with closing(Reader(service.database_url)) as reader, connection(service.port) as caller:
        before = sum(1 for _ in reader.stream())
        answer = ask(caller, method, target, service.keys[role])

        assert answer.status == (404 if role else 401)
        assert sum(1 for _ in reader.stream()) == before

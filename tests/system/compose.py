"""Checks docker-compose.yml, .env.example and the config in the image against each other: what can be known without a
Docker engine. Needs PyYAML; without it only the text is looked at."""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
text = (root / "docker-compose.yml").read_text()
example = (root / ".env.example").read_text()
problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


# No value that looks like a password anywhere, and each variable is in the example.
settings = dict(line.split("=", 1) for line in example.splitlines() if "=" in line and not line.startswith("#"))
expect(settings.get("POSTGRES_PASSWORD") == "", ".env.example: POSTGRES_PASSWORD must be there and empty")
for name in re.findall(r"\$\{([A-Z_]+)", text):
    expect(name in settings, f"docker-compose.yml: {name} is not in .env.example")
expect(not re.search(r"PASSWORD: *[^$/\s]", text), "docker-compose.yml: a password")

try:
    import yaml
except ImportError:
    print("PyYAML is not here: the compose file was not parsed")
else:
    compose = yaml.safe_load(text)
    config = yaml.safe_load((root / "packaging/docker/config.yml").read_text())
    services = compose["services"]
    expect(set(services) == {"teleclaude", "postgres", "socket-folder"}, "the daemon, the database, and what is before")
    for name, service in services.items():
        # What runs once has an end instead.
        expect("healthcheck" in service or name == "socket-folder", f"{name}: no health check")
        expect("ports" not in service, f"{name}: a port is published")
        expect(not service.get("privileged"), f"{name}: privileged")
    daemon, database = services["teleclaude"], services["postgres"]
    expect(database["image"] == "postgres:16", "postgres:16")
    expect(daemon["depends_on"]["postgres"]["condition"] == "service_healthy", "the daemon waits for the database")
    once = services["socket-folder"]
    expect(
        daemon["depends_on"]["socket-folder"]["condition"] == "service_completed_successfully",
        "the daemon waits for its folder",
    )
    expect("--owner=10001" in once["entrypoint"] and once["user"] == "root", "the folder becomes the daemon's")
    expect(once["volumes"][0].split(":/")[0] in [v.split(":/")[0] for v in daemon["volumes"]], "it is the same folder")
    expect((root / daemon["build"]["dockerfile"]).is_file(), "the Dockerfile is where the compose file says")
    secrets = {s if isinstance(s, str) else s["source"] for s in daemon["secrets"] + database["secrets"]}
    expect(secrets == set(compose["secrets"]), "the secrets that are used are those that are defined")
    expect(daemon["secrets"][0]["target"] == "database.password", "the secret is named as the daemon's key")
    expect(all(s == {"environment": "POSTGRES_PASSWORD"} for s in compose["secrets"].values()), "secrets from .env")
    named = {v.split(":")[0] for s in services.values() for v in s["volumes"] if not v.startswith((".", "/", "$"))}
    expect(named == set(compose["volumes"]), "the volumes that are used are those that are defined")

    socket = pathlib.PurePosixPath(config["socket"])
    expect(any(v.endswith(f":{socket.parent}") for v in daemon["volumes"]), "the socket's folder is on the machine")
    expect(str(socket) in daemon["healthcheck"]["test"], "the health check asks the configured socket")
    expect(config["sessions"]["run_as"] == "service", "there is no runner in a container")
    expect(config["database"]["host"] in services, "the database's host is a service")
    expect(config["database"]["user"] == database["environment"]["POSTGRES_USER"], "the database's user")
    expect(config["database"]["dbname"] == database["environment"]["POSTGRES_DB"], "the database's name")
    expect("password" not in config["database"], "a password in the config")
    expect(all("os_uid" in p for p in config["people"]), "people are mapped by uid: there are no names in there")

dockerfile = (root / "packaging/docker/Dockerfile").read_text()
stages = re.split(r"^FROM ", dockerfile, flags=re.M)[1:]
expect(len(stages) == 2, "Dockerfile: two stages")
users = re.findall(r"^USER (\S+)", stages[-1], flags=re.M)
expect(users and users[-1] not in ("root", "0"), "Dockerfile: it does not run as root")
for source in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, flags=re.M):
    for path in source.split():
        expect((root / path).exists(), f"Dockerfile: {path} is not in the tree")

for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)

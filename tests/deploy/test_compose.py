"""deploy/compose.yaml: secrets from outside, ports on loopback, files that are there."""

from __future__ import annotations

import re

import yaml

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "deploy"
TEXT = (FOLDER / "compose.yaml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]


def test_ports_are_bound_to_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(SERVICES)
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_secret_comes_from_the_env_file_which_is_empty() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    example = (FOLDER / "services" / "example.env").read_text().splitlines()
    assert {line.removesuffix("=") for line in example if not line.startswith("#")} == asked
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|KEY", name):
                assert value.startswith("${"), name


def test_databases_and_mounted_files_are_there() -> None:
    databases = set(
        re.findall(r"CREATE DATABASE (\w+)", (FOLDER / "services" / "databases.sql").read_text())
    )
    wanted = set(
        re.findall(r"@postgres/(\w+)", TEXT + (FOLDER / "services" / "auth.ini").read_text())
    )
    assert databases == wanted
    mounts = re.findall(r"- (\./\S+?):", TEXT)
    assert mounts and all((FOLDER / mount).is_file() for mount in mounts)


def test_mlflow_asks_for_a_password_and_names_its_hosts() -> None:
    command = " ".join(SERVICES["mlflow"]["command"])
    assert "--app-name=basic-auth" in command
    assert "--allowed-hosts=" in command
    assert "@" not in re.sub(r"postgres@postgres", "", command)  # no password in any address

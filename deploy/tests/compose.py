"""deploy/container/compose.yaml: valid, and its services played once without containers, with the same
commands, environment and health checks."""

import os
import pwd
import shlex
import subprocess
import tempfile
from pathlib import Path

import yaml

from services import PROGRAM, ROOT, Running, environment, reserve_port, get, until, urls

COMPOSE = ROOT / "deploy/container/compose.yaml"
REQUESTS = 20


def configured():
    """What docker-compose makes of the file. Without a password it must refuse."""
    command = ["docker-compose", "--file", COMPOSE, "config"]
    refused = subprocess.run(command, env=environment(), text=True, capture_output=True)
    assert refused.returncode != 0 and "choose a password" in refused.stderr, refused.stderr
    made = subprocess.run(command, env=environment(LOGS_PASSWORD="s3cret word"), text=True, capture_output=True)
    assert made.returncode == 0, made.stderr
    services = yaml.safe_load(made.stdout)["services"]
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:"), (name, port)
    assert "ports" not in services["db"]
    assert [volume for volume in services["daemon"]["volumes"] if "/logs" in str(volume)] == ["logs:/logs:ro"]
    return services


def image_environment():
    """What the image itself sets."""
    text = (ROOT / "deploy/container/Containerfile").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ENV "))
    return dict(word.split("=", 1) for word in shlex.split(line)[1:])


def play(services, directory):
    """The database, the site, the daemon; requests, rows."""
    web, database, page = reserve_port(), reserve_port(), reserve_port()
    (directory / "logs").mkdir()
    (directory / "state").mkdir()

    def here(text):
        if text.startswith("postgres://"):
            return text.replace("@db:5432/", f"@127.0.0.1:{database}/")
        for old, new in (("/logs", f"{directory}/logs"), (":8000", f":{web}"),
                         ("/var/lib/log-ingestd", f"{directory}/state")):
            text = text.replace(old, new)
        return text

    bin_ = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    db = services["db"]["environment"]
    (directory / "password").write_text(db["POSTGRES_PASSWORD"])
    drop = []
    if os.geteuid() == 0:
        os.chown(directory, pwd.getpwnam("postgres").pw_uid, -1)
        drop = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    subprocess.run([*drop, bin_ / "initdb", "--pgdata", directory / "data", "--username", db["POSTGRES_USER"],
                    "--pwfile", directory / "password", "--auth", "scram-sha-256", "--no-sync"],
                   check=True, stdout=subprocess.DEVNULL, cwd=directory)
    server = [*drop, bin_ / "postgres", "-D", directory / "data", "-p", str(database), "-c", "fsync=off",
              "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={directory}"]
    python = f"{ROOT / '.venv/bin'}:{bin_}:{os.environ['PATH']}"

    def healthy(name, env):
        test = [here(word) for word in services[name]["healthcheck"]["test"][1:]]
        if name == "db":
            test += ["--port", str(database)]
        test[0] = {"/log-ingestd": PROGRAM}.get(test[0], test[0])
        until(f"{name} is healthy", lambda: subprocess.run(test, env=env, capture_output=True).returncode == 0)

    said = open(directory / "said", "w")
    with Running(server, stdout=said, stderr=said, cwd=directory):
        healthy("db", environment())
        # The image makes the database that it is told to make.
        subprocess.run([bin_ / "createdb", "-h", "127.0.0.1", "-p", str(database), "-U", db["POSTGRES_USER"],
                        db["POSTGRES_DB"]], env=environment(PGPASSWORD=db["POSTGRES_PASSWORD"]), check=True)
        command = shlex.split(here(services["app"]["command"]))
        env = environment(PYTHONDONTWRITEBYTECODE="1") | {"PATH": python}
        with Running(command, env=env, cwd=ROOT / "deploy/container/demo", stderr=said):
            healthy("app", env)
            env = environment(LOG_INGESTD_LISTEN=f"127.0.0.1:{page}")
            env |= {name: here(str(value)) for name, value in
                    (image_environment() | services["daemon"]["environment"]).items()}
            with Running([PROGRAM], env=env, stderr=said):
                healthy("daemon", env)
                wanted = [f"/{nth:03}" for nth in range(REQUESTS)]
                for url in wanted:
                    assert get(f"http://127.0.0.1:{web}{url}") == 200
                until("every request is a row", lambda: len(urls(env)) >= len(wanted))
                assert urls(env) == wanted # the health checks are left out


def main():
    services = configured()
    with tempfile.TemporaryDirectory(prefix="log-ingestd-compose-") as directory:
        play(services, Path(directory))
    print(f"   compose.yaml: valid; its services played: {REQUESTS} requests, {REQUESTS} rows", flush=True)


if __name__ == "__main__":
    main()

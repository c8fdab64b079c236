"""The manifests in deploy/kubernetes: valid for every Kubernetes that they claim, and each daemon in
them really started, with its environment, its flags and its probes. No cluster is at hand."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

from document import Document
from services import PROGRAM, ROOT, Running, environment, reserve_port, get, until, urls

# Native sidecars came with it.
OLDEST = "1.29"
LINE = '127.0.0.1 - - [24/Nov/2026:08:41:00 +0000] "GET /asked HTTP/1.1" 200 2 "-" "curl/8"\n'


def validate(resources):
    """Strictly: an unknown key is an error."""
    versions = [OLDEST, kubernetes_validate.latest_version()]
    for resource in resources:
        for version in versions:
            kubernetes_validate.validate(resource, version, strict=True)
    return versions


def harmless(spec, container):
    """What keeps a daemon from doing more than it should."""
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]} and "privileged" not in context
    assert spec["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} <= set(container["resources"]["requests"]) and container["resources"]["limits"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert all(mount.get("readOnly") for path, mount in mounts.items() if path != "/tmp"), mounts
    for volume in spec["volumes"]:
        if volume.get("hostPath"):
            assert volume["hostPath"]["path"] == "/var/log/pods"


def play(container, secrets, auth, directory):
    """The daemon as the manifest has it, over a log where the manifest says that there is one."""
    port = reserve_port()
    replaced = {"/var/log/pods/web_*": f"{directory}/pods/web_*", "/logs": f"{directory}/logs",
                ":8686": f":{port}", "/etc/log-ingestd": str(directory)}
    (directory / "logs").mkdir()
    (directory / "pods/web_site-0_1234/app").mkdir(parents=True)
    (directory / "pods/web_site-0_1234/app/0.log").write_text(LINE)
    (directory / "logs/access.log").write_text(LINE)
    (directory / "auth").write_text(auth)
    env = environment()
    for variable in container["env"]:
        if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
            assert secrets[secret["name"]][secret["key"]].startswith("postgres://")
            value = f"sqlite:{directory}/rows.sqlite3"
        elif field := variable.get("valueFrom", {}).get("fieldRef"):
            value = field["fieldPath"]
        else:
            value = variable["value"]
        for old, new in replaced.items():
            value = value.replace(old, new)
        env[variable["name"]] = value
    env.setdefault("LOG_INGESTD_LISTEN", f"127.0.0.1:{port}")
    command = [PROGRAM, *container.get("args", [])]
    with Running(command, env=env, stderr=open(directory / "said", "w")):
        for name in ("startupProbe", "livenessProbe"):
            probe = container[name]
            if "exec" in probe:
                program, *arguments = probe["exec"]["command"]
                assert program == "/log-ingestd"
                check = lambda: subprocess.run([PROGRAM, *arguments], env=env, capture_output=True).returncode == 0
            else:
                assert {"name": probe["httpGet"]["port"], "containerPort": 8686} in container["ports"]
                check = lambda: get(f"http://127.0.0.1:{port}{probe['httpGet']['path']}") == 200
            until(f"the {name} is content", check)
        until("the line is a row", lambda: urls(env) == ["/asked"])
        if not env["LOG_INGESTD_LISTEN"].startswith("127."):
            assert get(f"http://127.0.0.1:{port}/metrics") == 401


def main():
    page = Document(ROOT / "deploy/docs/kubernetes.md")
    with tempfile.TemporaryDirectory() as directory:
        made = page.take("auth", {"log-ingestd hash": f"{PROGRAM} hash"})
        subprocess.run(["bash", "-ec", made], cwd=directory, input="secret\n", text=True, check=True)
        auth = (Path(directory) / "auth").read_text()
    assert auth.startswith("token:prometheus:"), auth
    page.is_done()
    for manifest in sorted((ROOT / "deploy/kubernetes").glob("*.yaml")):
        resources = list(yaml.safe_load_all(manifest.read_text()))
        versions = validate(resources)
        secrets = {it["metadata"]["name"]: it["stringData"] for it in resources if it["kind"] == "Secret"}
        started = 0
        for resource in resources:
            if "template" not in resource.get("spec", {}):
                continue
            spec = resource["spec"]["template"]["spec"]
            for container in spec.get("initContainers", []) + spec["containers"]:
                if container["image"].startswith("log-ingestd:"):
                    harmless(spec, container)
                    directory = Path(tempfile.mkdtemp(prefix="log-ingestd-kubernetes-"))
                    play(container, secrets, auth, directory)
                    shutil.rmtree(directory)
                    started += 1
        assert started == 1, manifest
        print(f"   {manifest.name}: {len(resources)} resources valid in Kubernetes {' and '.join(versions)}; "
              "its daemon started, probed, a line stored", flush=True)


if __name__ == "__main__":
    main()

"""The manifests in deploy/kubernetes: valid for every Kubernetes that they claim, and each daemon in
them really started, with its environment, its flags and its probes. The chart: linted and rendered by
Helm's own library, and the same as the manifest. No cluster is at hand."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

from document import Document
from services import PROGRAM, ROOT, Running, environment, reserve_port, get, until, urls

# Native sidecars came with it.
OLDEST = "1.29"
CHART = ROOT / "deploy/kubernetes/chart"
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


def rendered(values):
    """What `helm upgrade --install log-ingestd --namespace log-ingestd` would apply."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values, name="log-ingestd", namespace="log-ingestd")
    documents = [document for name, text in sorted(files.items()) if name.endswith(".yaml")
                 for document in yaml.safe_load_all(text) if document]
    validate(documents)
    return {document["kind"]: document for document in documents}


def without_marks(resource):
    """Without labels and annotations of Helm's, which the manifest has none of; the selector stays."""
    resource = yaml.safe_load(yaml.safe_dump(resource))
    resource["metadata"].pop("labels", None)
    if template := resource.get("spec", {}).get("template"):
        assert set(template["metadata"].pop("annotations", {})) <= {"checksum/secret"}
    return resource


def check_chart(page):
    """Linted; the same as daemonset.yaml with its values; each further value has an effect."""
    with open(ROOT / "Cargo.toml") as file:
        version = re.search(r'^version = "(.+)"', file.read(), re.M)[1]
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (about["version"], about["appVersion"]) == (version, version), about
    given = yaml.safe_load(re.search(r"```yaml\n(.*?)```", (ROOT / "deploy/docs/kubernetes.md").read_text(), re.S)[1])
    said = helm_python.lint(CHART, given | {"auth": "token:prometheus:hash"}, strict=True, kube_version=f"v{OLDEST}.0")
    worst = [it for it in said["messages"] if it["severity"] > 1]
    assert said["total_charts_linted"] == 1 and not worst and not said["errors"], said
    command = page.take("helm").split()
    assert command[:3] == ["helm", "upgrade", "--install"] and (ROOT / command[4]).samefile(CHART), command
    assert command[-2:] == ["--set-file", "auth=auth"], command

    manifest = yaml.safe_load_all((ROOT / "deploy/kubernetes/daemonset.yaml").read_text())
    manifest = {resource["kind"]: resource for resource in manifest if resource["kind"] != "Namespace"}
    container = manifest["DaemonSet"]["spec"]["template"]["spec"]["containers"][0]
    watch = next(it["value"] for it in container["env"] if it["name"] == "LOG_INGESTD_WATCH")
    secret = manifest["Secret"]["stringData"]
    same = {"watch": watch, "database": {"url": secret["database-url"]}, "auth": secret["auth"]}
    assert given["watch"] == watch and given["database"] == same["database"], given
    made = rendered(same)
    assert made.keys() == manifest.keys(), made.keys()
    for kind, resource in manifest.items():
        assert without_marks(made[kind]) == without_marks(resource), kind

    def pod(values):
        made = rendered(same | values)
        return made, made["DaemonSet"]["spec"]["template"]

    def env(template):
        return {it["name"]: it.get("value") for it in template["spec"]["containers"][0]["env"]}

    before = pod({})[1]["metadata"]["annotations"]["checksum/secret"]
    made, template = pod({"database": {"existingSecret": "mine"}, "config": "watch = ['/a']", "watch": "",
                          "env": [{"name": "TZ", "value": "Asia/Kolkata"}], "image": given["image"] | {"tag": "9"},
                          "imagePullSecrets": [{"name": "pull"}], "podAnnotations": {"a": "b"},
                          "nodeSelector": {"disk": "ssd"}, "priorityClassName": "high", "exclude": ""})
    spec = template["spec"]
    assert "Secret" not in made and template["metadata"]["annotations"]["a"] == "b"
    assert spec["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"] == "mine"
    assert env(template)["TZ"] == "Asia/Kolkata" and env(template)["LOG_INGESTD_WATCH"] == ""
    assert "LOG_INGESTD_EXCLUDE" not in env(template)
    assert spec["containers"][0]["image"] == "registry.example/log-ingestd:9"
    assert spec["imagePullSecrets"] == [{"name": "pull"}] == made["ServiceAccount"]["imagePullSecrets"]
    assert spec["nodeSelector"] == {"disk": "ssd"} and spec["priorityClassName"] == "high"
    keys = [it["key"] for it in next(it for it in spec["volumes"] if it["name"] == "auth")["secret"]["items"]]
    assert keys == ["auth", "config.toml"], keys
    made, template = pod({"config": "retention = '7d'"})
    assert made["Secret"]["stringData"]["config.toml"] == "retention = '7d'"
    assert template["metadata"]["annotations"]["checksum/secret"] != before
    for values, wanted in (({"watch": ""}, "watch is required"), ({"database": {"url": ""}}, "database.url"),
                           ({"auth": ""}, "auth is required")):
        try:
            rendered(same | values)
        except helm_python.HelmError as error:
            assert wanted in str(error), error
        else:
            raise AssertionError(f"rendered without {wanted}")
    print(f"   chart: linted by Helm, {len(manifest)} resources the same as in daemonset.yaml", flush=True)


def main():
    page = Document(ROOT / "deploy/docs/kubernetes.md")
    with tempfile.TemporaryDirectory() as directory:
        made = page.take("auth", {"log-ingestd hash": f"{PROGRAM} hash"})
        subprocess.run(["bash", "-ec", made], cwd=directory, input="secret\n", text=True, check=True)
        auth = (Path(directory) / "auth").read_text()
    assert auth.startswith("token:prometheus:"), auth
    check_chart(page)
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

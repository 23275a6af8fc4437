"""The cluster files are valid by Ray's schema, and contain what the documentation promises."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # Ray's own, while its command is imported

ROOT = Path(__file__).resolve().parents[2]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


@pytest.fixture(scope="module")
def aws():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


@pytest.fixture(scope="module")
def job():
    return next(
        item
        for item in yaml.safe_load_all((ROOT / "cluster" / "kuberay.yaml").read_text())
        if item["kind"] == "RayJob"
    )


def test_rays_validator_accepts_the_cluster(aws):
    validate_config(prepare_config(aws))


def test_rays_validator_would_refuse_a_wrong_one(aws):
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(aws | {"idle_timeout_minutes": "five"}))


def test_workers_are_gpus_on_spot_that_come_from_none(aws):
    head = aws["available_node_types"][aws["head_node_type"]]
    (workers,) = (kind for name, kind in aws["available_node_types"].items() if name != aws["head_node_type"])
    assert workers["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert workers["min_workers"] == 0 < workers["max_workers"] <= aws["max_workers"]
    assert workers["resources"]["GPU"] == 1
    assert "InstanceMarketOptions" not in head["node_config"]


def test_nodes_install_what_is_pinned_and_share_s3(aws):
    commands = "\n".join(aws["setup_commands"])
    assert "--constraint ~/emargin-study/constraints.txt" in commands
    assert "EMARGIN_STORAGE=s3://" in commands
    assert aws["file_mounts"]["~/emargin-study"] == "."
    assert aws["docker"]["image"].startswith(f"rayproject/ray:{PINS['ray']}-py3")
    for kind in aws["available_node_types"].values():
        assert "IamInstanceProfile" in kind["node_config"]  # a role instead of keys


def test_the_dashboard_is_for_the_head_alone_and_nodes_ask_for_a_token(aws):
    (start,) = (line for line in aws["head_start_ray_commands"] if "--head" in line)
    assert "--dashboard-host=127.0.0.1" in start and "--disable-usage-stats" in start
    assert "RAY_AUTH_MODE=token" in start and "RAY_AUTH_MODE=token" in aws["worker_start_ray_commands"][-1]
    assert "~/.ray/auth_token" in aws["file_mounts"]


# of the API reference that kuberay.yaml names
FIELDS = {
    "RayJobSpec": {
        "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint",
        "entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata",
        "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterConfig",
        "submitterPodTemplate", "suspend", "ttlSecondsAfterFinished",
    },
    "RayClusterSpec": {
        "authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions",
        "headGroupSpec", "headServiceAnnotations", "managedBy", "rayVersion", "suspend", "workerGroupSpecs",
    },
    "AutoscalerOptions": {
        "env", "envFrom", "idleTimeoutSeconds", "image", "imagePullPolicy", "resources", "securityContext",
        "upscalingMode", "version", "volumeMounts",
    },
    "HeadGroupSpec": {"enableIngress", "headService", "rayStartParams", "serviceType", "template"},
    "WorkerGroupSpec": {
        "groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams",
        "replicas", "scaleStrategy", "suspend", "template",
    },
}  # fmt: skip


def test_kuberay_knows_every_field(job):
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert spec.keys() <= FIELDS["RayJobSpec"]
    assert cluster.keys() <= FIELDS["RayClusterSpec"]
    assert cluster["autoscalerOptions"].keys() <= FIELDS["AutoscalerOptions"]
    assert cluster["headGroupSpec"].keys() <= FIELDS["HeadGroupSpec"]
    assert all(group.keys() <= FIELDS["WorkerGroupSpec"] for group in cluster["workerGroupSpecs"])


def test_kuberay_runs_a_pinned_image_with_gpus_from_none(job):
    cluster = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    pods = [cluster["headGroupSpec"]["template"], group["template"]]
    images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    (image,) = images  # one Python and one Ray everywhere
    assert image.endswith(f"-ray{PINS['ray']}") and cluster["rayVersion"] == PINS["ray"]
    assert f"FROM rayproject/ray:{PINS['ray']}-py3" in (ROOT / "cluster" / "Dockerfile").read_text()
    assert group["minReplicas"] == 0 and cluster["enableInTreeAutoscaling"]
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert job["spec"]["shutdownAfterJobFinishes"] and cluster["authOptions"] == {"mode": "token"}


def test_kuberay_keeps_studies_on_a_volume_and_secrets_out_of_the_file(job):
    text = (ROOT / "cluster" / "kuberay.yaml").read_text()
    volume = next(yaml.safe_load_all(text))
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    claim = head["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert (volume["kind"], volume["metadata"]["name"]) == ("PersistentVolumeClaim", claim)
    mount = head["containers"][0]["volumeMounts"][0]["mountPath"]
    assert f"--out {mount}" in job["spec"]["entrypoint"]
    assert {"name": "EMARGIN_STORAGE", "value": "s3://my-bucket/emargin-study"} in head["containers"][0][
        "env"
    ]
    assert "secretRef" in text and "AWS_SECRET_ACCESS_KEY" not in text


def test_the_study_knows_the_flags_that_the_files_give_it(job):
    from study.command_line import build_parser

    words = job["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "study.run"]
    build_parser().parse_args(words[3:])


def test_the_slurm_script_is_bash():
    script = ROOT / "cluster" / "slurm.sh"
    subprocess.run(("bash", "-n", str(script)), check=True)
    if shutil.which("shellcheck"):
        subprocess.run(("shellcheck", str(script)), check=True)


def test_the_slurm_script_runs_the_study_on_all_nodes_of_the_job(tmp_path):
    """With programs of Slurm's names that write down what they are asked, and Ray's likewise."""
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, says in (("scontrol", "echo node1; echo node2"), ("srun", 'echo "$@" > asked'), ("ray", ":")):
        (tools / name).write_text(f"#!/usr/bin/env bash\n{says}\n")
        (tools / name).chmod(0o755)
    slurm = {
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "2",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "1",
    }
    words = ("bash", str(ROOT / "cluster" / "slurm.sh"), "--dataset", "sleepeeg-sim", "--name", "two words")
    subprocess.run(words, check=True, env=os.environ | slurm)
    asked = (tmp_path / "asked").read_text()
    assert "ray symmetric-run --address node1:6379 --min-nodes 2 --num-cpus 8 --num-gpus 1" in asked
    assert "-- python -m study.run --address auto --out runs --dataset sleepeeg-sim --name two words" in asked


def test_ray_has_the_commands_of_the_walk_through():
    """Ray's own help names every command and flag that the files and docs/cluster.md use."""
    used = {
        "symmetric-run": ("--address", "--min-nodes"),
        "get-auth-token": ("--generate",),
        "exec": ("--tmux",),
        "attach": ("--tmux",),
        "up": (),
        "down": (),
        "rsync-down": (),
        "dashboard": (),
    }
    from ray.scripts.scripts import cli

    for name, flags in used.items():
        known = {option for parameter in cli.commands[name].params for option in parameter.opts}
        assert set(flags) <= known, name
    assert sys.version_info >= (3, 11)

"""What is measured: the upstream itself, other gateways, and nginx as the floor. `product.py` has ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import install
from bench.driver import Aim
from bench.processes import Children, free_port, wait_for_port, wait_for_url
from bench.upstream import MODEL

_KEY = "sk-bench"
_PATH = "/v1/chat/completions"
_FERRO_KEY = "fgw_0123456789abcdef0123456789abcdef"


@dataclass
class Target:
    """A running one. `parts` are the roots of its process trees by what they are; the first is the gateway."""

    name: str
    aim: Aim
    parts: Mapping[str, list[int]] = field(default_factory=dict)
    uncounted: tuple[int, ...] = ()  # processes in there that belong to the measurement

    def settle(self, answered: int) -> list[str]:
        """Wait until everything that `answered` requests caused is done; what is wrong afterwards."""
        return []


@dataclass(frozen=True)
class Site:
    """Where a target is started."""

    children: Children
    folder: Path
    upstream_port: int

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"


def direct(site: Site) -> Target:
    return Target("direct", Aim(site.upstream + _PATH, MODEL, {}))


def nginx(site: Site) -> Target:
    program, port = install.nginx(), free_port()
    config = site.folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {site.folder}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"""worker_processes 1; daemon off; pid {site.folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_buffer_size 256k; client_max_body_size 20m; {temporary}
 upstream u {{ server 127.0.0.1:{site.upstream_port}; keepalive 512; keepalive_requests 1000000; }}
 server {{ listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
  location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
   proxy_set_header Authorization "Bearer {_KEY}"; }} }} }}
"""
    )
    child = site.children.start("nginx", [program, "-p", site.folder, "-c", config, "-e", "stderr"], os.environ)
    wait_for_port(child, port, 10)
    return _gateway("nginx", port, child.pid, {})


def litellm(site: Site) -> Target:
    """One worker, a master key and prices, no database."""
    python = install.python_packages("litellm", "litellm[proxy]==1.106.2", version="3.12")
    port, config = free_port(), site.folder / "litellm.yaml"
    config.write_text(
        f"""model_list:
  - model_name: {MODEL}
    litellm_params: {{model: openai/{MODEL}, api_base: "{site.upstream}/v1", api_key: {_KEY},
      input_cost_per_token: 0.00000015, output_cost_per_token: 0.0000006}}
litellm_settings: {{num_retries: 0, request_timeout: 60, drop_params: true, telemetry: false}}
general_settings: {{master_key: {_KEY}}}
"""
    )
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    arguments = ["--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", 1]
    command = [python.parent / "litellm", *arguments]
    child = site.children.start("litellm", command, {**_plain_environment(), **quiet}, cwd=site.folder)
    wait_for_url(child, f"http://127.0.0.1:{port}/health/liveliness", 120)
    return _gateway("litellm", port, child.pid, {"Authorization": f"Bearer {_KEY}"})


def portkey(site: Site) -> Target:
    folder = install.node_package("portkey", "@portkey-ai/gateway@1.15.2")
    port = free_port()
    command = ["node", folder / "build" / "start-server.js", "--headless", f"--port={port}"]
    child = site.children.start("portkey", command, _plain_environment(), cwd=folder)
    wait_for_port(child, port, 30)
    headers = {"Authorization": f"Bearer {_KEY}", "x-portkey-provider": "openai"}
    return _gateway("portkey", port, child.pid, headers | {"x-portkey-custom-host": f"{site.upstream}/v1"})


def ferrogw(site: Site) -> Target:
    """Key and rate limit in memory."""
    python = install.python_packages("ferrogw", "ferrogw==1.5.10")
    port, config = free_port(), site.folder / "ferrogw.yaml"
    config.write_text("strategy: {mode: fallback}\ntargets:\n  - virtual_key: openai\n    retry: {attempts: 1}\n")
    env = {"PORT": str(port), "MASTER_KEY": _FERRO_KEY, "GATEWAY_CONFIG": str(config), "LOG_LEVEL": "error"}
    env |= {"OPENAI_API_KEY": _KEY, "OPENAI_BASE_URL": f"{site.upstream}/v1"}
    env |= {"RATE_LIMIT_RPS": "1000000", "RATE_LIMIT_BURST": "1000000"}
    command = [python.parent / "ferrogw", "serve"]
    child = site.children.start("ferrogw", command, {**_plain_environment(), **env}, cwd=site.folder)
    wait_for_port(child, port, 30)
    return _gateway("ferrogw", port, child.pid, {"Authorization": f"Bearer {_FERRO_KEY}"})


def smg(site: Site) -> Target:
    """One API key, no store."""
    python = install.python_packages("smg", "smg==1.13.0")
    port, metrics = free_port(), free_port()
    arguments = ["--backend", "openai", "--worker-urls", site.upstream, "--host", "127.0.0.1", "--port", port]
    arguments += ["--prometheus-host", "127.0.0.1", "--prometheus-port", metrics, "--log-level", "error"]
    arguments += ["--history-backend", "none", "--api-key", _KEY]
    command = [python, "-m", "smg.launch_router", *arguments]
    child = site.children.start("smg", command, _plain_environment(), cwd=site.folder)
    wait_for_port(child, port, 60)
    return _gateway("smg", port, child.pid, {"Authorization": f"Bearer {_KEY}"})


PEERS: Mapping[str, Callable[[Site], Target]] = {
    "nginx": nginx,
    "smg": smg,
    "ferrogw": ferrogw,
    "portkey": portkey,
    "litellm": litellm,
}


def start_upstream(children: Children, python: str) -> int:
    port = free_port()
    folder = Path(__file__).resolve().parent.parent
    child = children.start("upstream", [python, "-m", "bench.upstream", "--port", str(port)], os.environ, cwd=folder)
    wait_for_port(child, port, 20)
    return port


def _gateway(name: str, port: int, pid: int, headers: dict[str, str]) -> Target:
    return Target(name, Aim(f"http://127.0.0.1:{port}{_PATH}", MODEL, headers), {"gateway": [pid]})


def _plain_environment() -> dict[str, str]:
    """Ours without keys of real providers, and without our own packages."""
    dropped = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "DATABASE_URL", "REDIS_URL", "PORT")
    return {name: value for name, value in os.environ.items() if name not in dropped and not name.endswith("_API_KEY")}

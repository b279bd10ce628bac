# SPDX-License-Identifier: GPL-3.0-or-later
"""A real object store on a lab host: OpenStack Swift as Debian has it, asked by S3 over TLS."""

from __future__ import annotations

import shlex

from kijun_hosts import Machine

PORT = 8090
KEY_ID = "kijun:keeper"
SERVICES = ("account", "container", "object", "proxy")

RINGS = """
cd /etc/swift
for ring in account:6202 container:6201 object:6200; do
    name=${ring%:*}
    [ -f $name.ring.gz ] && continue
    swift-ring-builder $name.builder create 4 1 1
    swift-ring-builder $name.builder add r1z1-127.0.0.1:${ring#*:}/d1 1
    swift-ring-builder $name.builder rebalance
done
"""

BACKEND = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %d
workers = 0
user = swift
devices = /srv/node
mount_check = false
[pipeline:main]
pipeline = %s-server
[app:%s-server]
use = egg:swift#%s
"""

PROXY = f"""[DEFAULT]
bind_ip = 0.0.0.0
bind_port = {PORT}
workers = 0
user = swift
cert_file = /etc/swift/proxy.crt
key_file = /etc/swift/proxy.key
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:11211
[filter:s3api]
use = egg:swift#s3api
location = lab
[filter:slo]
use = egg:swift#slo
[filter:tempauth]
use = egg:swift#tempauth
user_kijun_keeper = %s .admin
"""


def serve(place: Machine, address: str, secret: str) -> str:
    """Have an object store on a host.

    Args:
        place: the host.
        address: its address, which the certificate is for.
        secret: of the one who may use it.

    Returns:
        The store's certificate, PEM.
    """
    place.ok(
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
        " -o Dpkg::Options::=--force-unsafe-io"
        " swift-proxy swift-account swift-container swift-object memcached openssl >/dev/null 2>&1"
    )
    # Debian starts none of them without a configuration; which of them it starts later is no matter here.
    place.run("systemctl disable --now 'swift-*' 2>/dev/null; systemctl reset-failed")
    files = {
        "swift.conf": "[swift-hash]\nswift_hash_path_suffix = kijun\nswift_hash_path_prefix = test\n",
        "proxy-server.conf": PROXY % secret,
        **{
            f"{name}-server.conf": BACKEND % (port, name, name, name)
            for name, port in (("account", 6202), ("container", 6201), ("object", 6200))
        },
    }
    for name, text in files.items():
        place.ok(f"printf %s {shlex.quote(text)} > /etc/swift/{name}")
    place.ok(RINGS)
    place.ok(
        "cd /etc/swift && [ -f proxy.crt ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        f" -days 30 -subj /CN={address} -addext subjectAltName=IP:{address} -keyout proxy.key -out proxy.crt 2>&1"
    )
    place.ok(
        "mkdir -p /srv/node/d1 /var/cache/swift && chown -R swift: /srv/node /var/cache/swift"
        " && chown -R root:swift /etc/swift && chmod 640 /etc/swift/*.key /etc/swift/*.conf"
        " && systemctl start memcached"
    )
    for name in SERVICES:
        place.ok(
            f"systemctl stop kijuntest-{name} 2>/dev/null; systemd-run -q --unit=kijuntest-{name} -p User=swift"
            f" swift-{name}-server /etc/swift/{name}-server.conf"
        )
    place.python(
        "import socket, time\n"
        "for _ in range(120):\n"
        "    try:\n"
        f"        socket.create_connection(('{address}', {PORT}), 5).close()\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.5)\n"
        "else:\n"
        "    raise SystemExit('nobody answers')"
    )
    return place.ok("cat /etc/swift/proxy.crt")


def stop(place: Machine, purge: bool = True) -> None:
    """Take the object store off the host again.

    Args:
        place: the host.
        purge: its packages too, which takes long.
    """
    place.run("systemctl stop " + " ".join(f"kijuntest-{name}" for name in SERVICES))
    if not purge:
        return
    place.run(
        "rm -rf /srv/node; DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq 'swift*' memcached >/dev/null 2>&1"
    )

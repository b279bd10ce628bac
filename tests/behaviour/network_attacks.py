# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on a host's network settings, from a neighbour that they make on it; run there as root. Prints JSON.

The neighbour is a network namespace at the other end of an interface, made anew each time: an interface that the host
did not have when the role ran.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

HERE, THERE, OTHER, FAR, FORGED = "192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.9", "203.0.113.5"
PREFIX = "2001:db8:77:"


def run(command: str, check: bool = True) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    return done.stdout


def there(code: str) -> None:
    """Run Python source at the neighbour, with this file's names."""
    source = f"import sys; sys.path.insert(0, '/root'); from network_attacks import *; {code}"
    subprocess.run(["ip", "netns", "exec", "evil", sys.executable, "-c", source], check=True)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_header(source: str, target: str, protocol: int, length: int) -> bytes:
    """RFC 791, without options; the kernel fills in the rest."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, protocol, 0) + addresses


def send_redirect() -> None:
    """Tell the host that the way to FAR leads through OTHER: RFC 792, type 5, code 1."""
    # "You answered a ping of FAR's": of all else that a host sends, it would look for the socket that sent it.
    original = ip_header(HERE, FAR, socket.IPPROTO_ICMP, 8) + bytes(8)
    body = struct.pack("!BBH4s", 5, 1, 0, socket.inet_aton(OTHER)) + original
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
        sender.sendto(body, (HERE, 0))


def send_flood() -> None:
    """Open connections from addresses that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        for number in range(64):
            source = f"192.0.2.{100 + number}"
            header = struct.pack("!HHIIBBHHH", 40000 + number, 7777, 1, 0, 5 << 4, 2, 1024, 0, 0)
            pseudo = socket.inet_aton(source) + socket.inet_aton(HERE) + struct.pack("!BBH", 0, 6, len(header))
            header = header[:16] + struct.pack("!H", checksum(pseudo + header)) + header[18:]
            sender.sendto(ip_header(source, HERE, socket.IPPROTO_TCP, len(header)) + header, (HERE, 0))


def send_advertisement() -> None:
    """Be an IPv6 router: RFC 4861, section 4.2, with a prefix (4.6.2)."""
    prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 600, 600, 0, socket.inet_pton(socket.AF_INET6, PREFIX + ":"))
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 600, 0, 0) + prefix
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.sendto(body, ("ff02::1", 0, 0, socket.if_nametoindex("there")))


def send_datagram(source: str, target: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        header = ip_header(source, target, socket.IPPROTO_UDP, 9)
        sender.sendto(header + struct.pack("!HHHH", 40000, 7777, 9, 0) + b"x", (target if target == HERE else HERE, 0))


def received(listener: socket.socket) -> bool:
    listener.settimeout(1)
    try:
        return bool(listener.recv(16))
    except TimeoutError:
        return False


def forwards() -> bool:
    """Whether a packet of the neighbour's comes back out of the host, on its way to FAR."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as watcher:  # ETH_P_ALL: what leaves, too
        watcher.bind(("way_out", 3))
        there(f"send_datagram(THERE, {FAR!r})")
        end = time.monotonic() + 1
        watcher.settimeout(0.5)
        while time.monotonic() < end:
            try:
                packet = watcher.recv(2048)
            except TimeoutError:
                continue
            if packet[16:20] == socket.inet_aton(FAR):
                return True
    return False


def follows_redirects() -> bool:
    """Whether the neighbour, the way to FAR, can lead the host elsewhere."""
    run(f"ip route replace {FAR} via {THERE}")
    run(f"ip neighbour replace {OTHER} lladdr 02:00:00:00:00:02 dev here")
    there("send_redirect()")
    time.sleep(0.3)
    return f"via {OTHER}" in run(f"ip route get {FAR}")


def takes_forged_senders() -> bool:
    """Whether a packet counts whose sender the host would answer by another interface."""
    run(f"ip route replace {FORGED} dev way_out")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((HERE, 7777))
        there(f"send_datagram({FORGED!r}, HERE)")
        return received(listener)


def takes_true_senders() -> bool:
    """Whether the neighbour reaches the host at all: without it, the other answers would say nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((HERE, 7777))
        there("send_datagram(THERE, HERE)")
        return received(listener)


def is_stopped_by_a_flood() -> bool:
    """Whether half-open connections keep out a real one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HERE, 7777))
        listener.listen(4)
        there("send_flood()")
        real = "import socket; socket.create_connection(('%s', 7777), 2)" % HERE
        done = subprocess.run(
            ["ip", "netns", "exec", "evil", sys.executable, "-c", real], capture_output=True, check=False
        )
        return done.returncode != 0


def believes_routers() -> bool:
    """Whether anybody can be the host's IPv6 router."""
    for _ in range(3):
        there("send_advertisement()")
        time.sleep(0.5)
        if PREFIX in run("ip -6 address show dev here"):
            return True
    return False


ATTACKS: tuple[Callable[[], bool], ...] = (
    takes_true_senders,
    forwards,
    follows_redirects,
    takes_forged_senders,
    is_stopped_by_a_flood,
    believes_routers,
)


def main() -> None:
    """Make the neighbour, let it attack, and say what it achieved."""
    clear()
    try:
        run("ip netns add evil")
        run("ip link add here type veth peer name there netns evil")
        run("ip link add way_out type veth peer name sink netns evil")
        run("ip link set way_out up")
        run("ip netns exec evil ip link set sink up")
        run(f"ip address add {HERE}/24 dev here")
        run("ip link set here up")
        run("ip netns exec evil ip link set there up")
        run(f"ip netns exec evil ip address add {THERE}/24 dev there")
        run(f"ip netns exec evil ip route add default via {HERE}")
        ends = ("ip -6 address show dev here", "ip netns exec evil ip -6 address show dev there")
        for _ in range(50):  # until both ends have settled on their link-local addresses
            time.sleep(0.2)
            if all("fe80" in shown and "tentative" not in shown for shown in map(run, ends)):
                break
        run(f"ip route replace {FAR} dev way_out")
        for address in (FAR, FORGED):  # nobody is there to ask
            run(f"ip neighbour replace {address} lladdr 02:00:00:00:00:01 dev way_out")
        print(json.dumps({attack.__name__: attack() for attack in ATTACKS}))
    finally:
        clear()


def clear() -> None:
    run("ip netns del evil", check=False)
    run("ip link del here", check=False)
    run("ip link del way_out", check=False)


if __name__ == "__main__":
    main()

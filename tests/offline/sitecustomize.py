"""Cut a Python process off from every network but its own machine.

Put first on PYTHONPATH by the notebook tests, so it runs in each chapter's kernel and in every Python
process that the kernel starts. An audit hook (PEP 578) sees each connection before it is made and cannot be
taken off again; refusals are also noted in the file that NEUROLAB_REFUSED names, so a notebook that swallows
the error still fails.
"""

import ipaddress
import os
import socket
import sys
import urllib.parse

_NAMES = ("socket.getaddrinfo", "socket.gethostbyname")
_ADDRESSES = ("socket.connect", "socket.sendto", "socket.sendmsg")


def _is_here(host: object) -> bool:
    """True for this machine's own names and loopback addresses, and for "no host"."""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if name in ("", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(event: str, arguments: tuple) -> None:
    """Raise ConnectionRefusedError when a socket event leaves this machine."""
    if event in _NAMES:
        host = arguments[0]
    elif event == "urllib.Request":
        # Seen before any proxy, so the message names the host that the reader's code asked for.
        host = urllib.parse.urlsplit(arguments[0]).hostname
    elif event in _ADDRESSES and isinstance(arguments[-1], tuple):
        # Addresses of local (Unix) sockets are plain strings; a connected socket is sent to without one.
        host = arguments[-1][0]
    else:
        return
    if _is_here(host):
        return
    noted = os.environ.get("NEUROLAB_REFUSED")
    if noted:
        with open(noted, "a", encoding="utf-8") as file:
            file.write(f"{host}\n")
    raise ConnectionRefusedError(f"{host}: the course runs with no network")


sys.addaudithook(_refuse)


def cost() -> tuple[float, float]:
    """Return what this process has used: processor seconds, children included, and the peak memory in MiB.

    The peak is that of the largest single process. Linux carries the parent's peak over into `ru_maxrss` of a
    process that it starts, so the kernel's own peak is read from /proc where that exists.
    """
    import resource

    times = os.times()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            own = next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM"))
    return sum(times[:4]), max(own, children)

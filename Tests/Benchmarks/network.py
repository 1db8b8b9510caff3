# The network that a run has to itself: a loopback without the machine's own traffic, and without
# pacing, which costs every forwarder more than its work and hides what they differ in.
import ctypes
import fcntl
import socket
import struct

_CLONE_NEWNET = 0x4000_0000  # unshare(2)
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # netdevice(7)
# A machine's default may be bbr, which paces by a timer for each segment where no queue does it, as
# on the loopback. Linux has cubic as its default; where it is not allowed in a namespace, reno is.
UNPACED = ("cubic", "reno")
_SETTING = "/proc/sys/net/ipv4/tcp_congestion_control"


def congestion_control():
    """That of this process's network."""
    with open(_SETTING, encoding="ascii") as file:
        return file.read().strip()


def enter_own():
    """From now on, for this process and what it starts. Without the right to, nothing changes."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    for name in UNPACED:
        if congestion_control() in UNPACED:
            return
        try:
            with open(_SETTING, "w", encoding="ascii") as file:
                file.write(name)
        except OSError:
            continue

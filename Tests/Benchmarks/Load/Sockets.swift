// What the generator needs of sockets and epoll beyond the daemon's own wrappers; CLinux is for
// this file alone.
import CLinux
import Linux

/// Only the two ends of a short path: nothing here vanishes without a word.
let keepalive = KeepaliveTimes(idleSeconds: 60, intervalSeconds: 10, userTimeoutMilliseconds: 0)

func loopback(port: UInt16) -> SocketAddress {
  SocketAddress(high: 0, low: 0xffff_7f00_0001, port: port)
}

/// What a socket is watched for, for as long as it lasts: level-triggered, unlike the daemon, so
/// that one call on each of those that are ready is a fair turn, and none has to fail first.
enum Wanted {
  case bytes, room, both

  fileprivate var bits: UInt32 {
    switch self {
    case .bytes: UInt32(LINUX_READABLE)
    case .room: UInt32(LINUX_WRITABLE)
    case .both: UInt32(LINUX_READABLE | LINUX_WRITABLE)
    }
  }
}

/// epoll_ctl(2), EPOLL_CTL_ADD, or _MOD for a socket that is watched already.
func watch(
  _ socket: borrowing Socket, with poller: borrowing Poller, for wanted: Wanted, token: Int,
  isNew: Bool = false
) {
  let set = isNew ? linux_poller_add : linux_poller_change
  let result = set(poller.number, socket.number, wanted.bits, UInt64(token))
  precondition(result == 0, "epoll_ctl failed")
}

extension Socket {
  /// A closed one's place.
  static var none: Socket { Socket(owning: -1) }
}

extension Readiness {
  /// A read will tell something: bytes, the end, or the error.
  var callsForReading: Bool { isReadable || hasEnded || hasError }
}

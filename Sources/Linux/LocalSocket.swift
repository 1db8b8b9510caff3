// Abstract Unix stream sockets (unix(7)): names of the network namespace that leave no file behind,
// so that they work on a read-only root. Must not decide who may speak.
import CLinux

extension Socket {
  /// Listens under `name`, without the leading zero; 107 bytes at most.
  /// - Throws: EADDRINUSE, EMFILE, ENFILE.
  public static func listening(atLocalName name: [UInt8]) throws(Errno) -> Socket {
    let socket = Socket(owning: try checked(linux_local_socket()))
    try checked(linux_local_bind(socket.number, name, name.count))
    try checked(linux_listen(socket.number, 16))
    return socket
  }

  /// Connects to whoever listens under `name`, which takes no time or fails.
  /// - Throws: ECONNREFUSED when nobody does, EAGAIN when too many wait already.
  public static func connected(toLocalName name: [UInt8]) throws(Errno) -> Socket {
    let socket = Socket(owning: try checked(linux_local_socket()))
    try checked(linux_local_connect(socket.number, name, name.count))
    return socket
  }

  /// accept4(2) of a listener with a local name; nil when nobody waits.
  /// - Throws: EMFILE, ENFILE, ENOMEM.
  public borrowing func acceptLocal() throws(Errno) -> Socket? {
    let number = linux_local_accept(self.number)
    if number == -Errno.wouldBlock.code { return nil }
    return Socket(owning: try checked(number))
  }

  /// SO_PEERCRED: the user at the other end of a local connection.
  public borrowing func peerUser() throws(Errno) -> Int32 { try checked(linux_peer_user(number)) }

  /// poll(2): true when there is something to receive, or the end; false after the time.
  public borrowing func waitUntilReadable(milliseconds: Int32) -> Bool {
    linux_wait_readable(number, milliseconds) > 0
  }
}

/// geteuid(2).
public func effectiveUser() -> Int32 { linux_user() }

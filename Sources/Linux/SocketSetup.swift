// How a socket comes to be: listening, accepting, connecting, and the options that it is given.
import CLinux

/// How a vanished peer is noticed: keepalive while a connection idles (tcp(7), TCP_KEEPIDLE and
/// TCP_KEEPINTVL), TCP_USER_TIMEOUT while bytes are unacknowledged.
public struct KeepaliveTimes: Equatable, Sendable {
  public var idleSeconds: Int32
  public var intervalSeconds: Int32
  public var userTimeoutMilliseconds: Int32

  public init(idleSeconds: Int32, intervalSeconds: Int32, userTimeoutMilliseconds: Int32) {
    self.idleSeconds = idleSeconds
    self.intervalSeconds = intervalSeconds
    self.userTimeoutMilliseconds = userTimeoutMilliseconds
  }
}

/// How connecting went so far.
public enum ConnectResult: Equatable {
  case connected
  case inProgress
  case failed(Errno)
}

extension Socket {
  /// Listens on `address` and its port; or, when it is nil, on `port` of all addresses of both
  /// families, of IPv4 alone where the machine has no IPv6. Sets what accepted sockets inherit.
  /// - Throws: EADDRINUSE, EACCES (a privileged port), EADDRNOTAVAIL, EMFILE.
  public static func listening(
    on address: SocketAddress?, port: UInt16, keepalive: KeepaliveTimes
  ) throws(Errno) -> Socket {
    let anyIPv6 = SocketAddress(high: 0, low: 0, port: port)
    let anyIPv4 = SocketAddress(high: 0, low: 0xffff_0000_0000, port: port)
    guard address == nil else { return try listening(address!, keepalive: keepalive) }
    do {
      return try listening(anyIPv6, keepalive: keepalive)
    } catch  where error == .familyNotSupported || error == .addressNotAvailable {
      return try listening(anyIPv4, keepalive: keepalive)
    } catch {
      throw error
    }
  }

  private static func listening(
    _ address: SocketAddress, keepalive: KeepaliveTimes
  ) throws(Errno) -> Socket {
    let ipv6: Int32 = address.isIPv4 ? 0 : 1
    let socket = Socket(owning: try checked(linux_socket(ipv6)))
    try socket.set(LINUX_REUSE_ADDRESS, 1)
    if ipv6 == 1 { try socket.set(LINUX_IPV6_ONLY, 0) }
    socket.sendAtOnce()
    socket.setUp(keepalive)
    var raw = address.raw
    try checked(linux_bind(socket.number, &raw, ipv6))
    // The kernel lowers it to net.core.somaxconn.
    try checked(linux_listen(socket.number, 65_535))
    return socket
  }

  /// accept4(2); nil when nobody waits. The socket has the listener's options (tcp(7)).
  /// - Throws: EMFILE, ENFILE, ENOBUFS, ENOMEM, and the errors of a connection that died waiting.
  public borrowing func accept() throws(Errno) -> Accepted? {
    var raw = linux_address()
    let number = linux_accept(self.number, &raw)
    if number == -Errno.wouldBlock.code { return nil }
    return Accepted(number: try checked(number), peer: SocketAddress(raw))
  }

  /// A UDP socket that is connected to `server`: datagrams of nobody else are received, and an
  /// ICMP error shows as ECONNREFUSED. The kernel chooses a random port (RFC 6056).
  /// - Throws: EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT, ENETUNREACH, EPERM.
  public static func datagrams(with server: SocketAddress) throws(Errno) -> Socket {
    let socket = Socket(owning: try checked(linux_datagram_socket(server.isIPv4 ? 0 : 1)))
    var raw = server.raw
    try checked(linux_connect(socket.number, &raw))
    return socket
  }

  /// A TCP socket without options.
  /// - Throws: EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT.
  public static func stream(for address: SocketAddress) throws(Errno) -> Socket {
    Socket(owning: try checked(linux_socket(address.isIPv4 ? 0 : 1)))
  }

  /// connect(2). Called again while in progress, it tells how far it came, which an event alone
  /// does not prove.
  public borrowing func connect(to address: SocketAddress) -> ConnectResult {
    var raw = address.raw
    let result = linux_connect(number, &raw)
    guard result < 0 else { return .connected }
    switch Errno(code: -result) {
    case .inProgress, .alreadyInProgress: return .inProgress
    case .alreadyConnected: return .connected
    case let error: return .failed(error)
    }
  }

  /// TCP_USER_TIMEOUT; zero leaves the time to the kernel.
  public borrowing func setUserTimeout(milliseconds: Int32) {
    attempt(LINUX_USER_TIMEOUT_MILLISECONDS, milliseconds)
  }

  /// TCP_NODELAY: with delayed acknowledgements, Nagle's algorithm costs a query about 40 ms.
  public borrowing func sendAtOnce() { attempt(LINUX_NO_DELAY, 1) }

  /// TCP_QUICKACK, off, before connect(2): the last acknowledgement of the handshake goes with the
  /// first bytes, or after 200 ms if none are sent (tcp(7)). Spares a packet.
  public borrowing func acknowledgeWithBytes() { attempt(LINUX_QUICK_ACKNOWLEDGEMENT, 0) }

  /// Keepalive, and urgent bytes kept in the stream (SO_OOBINLINE), so that none is lost.
  public borrowing func setUp(_ keepalive: KeepaliveTimes) {
    attempt(LINUX_URGENT_INLINE, 1)
    attempt(LINUX_KEEPALIVE, 1)
    attempt(LINUX_KEEPALIVE_IDLE_SECONDS, keepalive.idleSeconds)
    attempt(LINUX_KEEPALIVE_INTERVAL_SECONDS, keepalive.intervalSeconds)
    attempt(LINUX_USER_TIMEOUT_MILLISECONDS, keepalive.userTimeoutMilliseconds)
  }

  /// Refused by a socket whose connection is gone, or by a kernel that lacks the option.
  private borrowing func attempt(_ option: linux_option, _ value: Int32) {
    _ = linux_set_option(number, Int32(option.rawValue), value)
  }

  private borrowing func set(_ option: linux_option, _ value: Int32) throws(Errno) {
    try checked(linux_set_option(number, Int32(option.rawValue), value))
  }
}

/// A client as accept4(2) gives it. Whoever takes it owns the descriptor.
public struct Accepted {
  public let number: Int32
  public let peer: SocketAddress
}

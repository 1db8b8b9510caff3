// Between Core's words and the kernel's: addresses, and what an error number means.
import Core
import Linux

extension Endpoint {
  init(_ address: SocketAddress) {
    self.init(
      address: IPAddress(high: address.high, low: address.low), port: address.port)
  }
}

extension SocketAddress {
  init(_ endpoint: Endpoint) {
    self.init(high: endpoint.address.high, low: endpoint.address.low, port: endpoint.port)
  }
}

extension Failure {
  /// What kept a socket from being made or connected (connect(2), tcp(7)).
  init(_ error: Errno) {
    switch error {
    case .refused: self = .refused
    case .timedOut: self = .timedOut
    case .networkUnreachable: self = .networkUnreachable
    case .hostUnreachable: self = .hostUnreachable
    case .connectionReset: self = .reset
    case .descriptorLimit, .systemDescriptorLimit: self = .noDescriptors
    case .noMemory, .noBufferSpace: self = .noMemory
    case .addressNotAvailable: self = .noLocalPort
    case .notPermitted, .accessDenied: self = .notPermitted
    case _: self = .system(error.code)
    }
  }

  /// Gone by itself when others give back what they hold.
  var isShortage: Bool { self == .noDescriptors || self == .noMemory }
}

extension Errno {
  /// Of accept4(2): it has taken a client from the backlog that died there (accept(2)).
  var concernsOneClient: Bool {
    switch self {
    case .connectionAborted, .protocolError, .connectionReset, .timedOut, .networkUnreachable,
      .hostUnreachable:
      true
    case _: false
    }
  }
}

extension EndFailure {
  /// What ended an established connection.
  init(_ error: Errno) {
    switch error {
    case .connectionReset, .brokenPipe, .notConnected: self = .reset
    case .timedOut, .hostUnreachable, .networkUnreachable: self = .vanished
    case _: self = .error
    }
  }
}

extension KeepaliveTimes {
  init(_ times: PeerTimes) {
    self.init(
      idleSeconds: times.keepaliveIdleSeconds, intervalSeconds: times.keepaliveIntervalSeconds,
      userTimeoutMilliseconds: times.userTimeoutMilliseconds)
  }
}

extension Instant {
  static var now: Instant { Instant(nanoseconds: monotonicNanoseconds()) }
}

extension WallTime {
  static var now: WallTime { WallTime(nanosecondsSince1970: wallNanoseconds()) }
}

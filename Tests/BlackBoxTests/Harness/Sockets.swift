// The system calls of the tests' own sockets, and nothing about what is sent over them.
import Foundation

/// A system call that failed, in words.
func systemFailure(_ operation: String) -> Failure {
  let code = errno
  var failure = Failure("\(operation): \(String(cString: strerror(code)))")
  failure.code = code
  return failure
}

/// Throws when a system call returned -1.
@discardableResult
func checked(_ operation: String, _ result: some SignedInteger) throws -> Int {
  guard result >= 0 else { throw systemFailure(operation) }
  return Int(result)
}

enum Loopback: String, Sendable {
  case ipv4 = "127.0.0.1"
  case otherIPv4 = "127.0.0.2"
  case thirdIPv4 = "127.0.0.3"
  case ipv6 = "::1"
  /// Both families at once: the IPv6 wildcard address without IPV6_V6ONLY.
  case dual = "::"

  /// Whether this machine speaks IPv6 on its loopback.
  static let hasIPv6: Bool = {
    guard let socket = try? TCPSocket(family: .ipv6) else { return false }
    return (try? socket.bind(.ipv6, port: 0)) != nil
  }()
  /// Where a listener gets clients of every family that this machine speaks.
  static let everywhere: Loopback = hasIPv6 ? .dual : .ipv4

  fileprivate var isIPv4: Bool {
    switch self {
    case .ipv4, .otherIPv4, .thirdIPv4: true
    case .ipv6, .dual: false
    }
  }
  var family: Int32 { isIPv4 ? AF_INET : AF_INET6 }

  /// Calls `body` with this address and `port` as the kernel wants them.
  func withAddress(
    port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var storage = sockaddr_storage()
    return withUnsafeMutableBytes(of: &storage) { raw in
      let length: Int
      if isIPv4 {
        let address = raw.baseAddress!.assumingMemoryBound(to: sockaddr_in.self)
        address.pointee.sin_family = sa_family_t(AF_INET)
        address.pointee.sin_port = port.bigEndian
        inet_pton(AF_INET, rawValue, &address.pointee.sin_addr)
        length = MemoryLayout<sockaddr_in>.size
      } else {
        let address = raw.baseAddress!.assumingMemoryBound(to: sockaddr_in6.self)
        address.pointee.sin6_family = sa_family_t(AF_INET6)
        address.pointee.sin6_port = port.bigEndian
        inet_pton(AF_INET6, rawValue, &address.pointee.sin6_addr)
        length = MemoryLayout<sockaddr_in6>.size
      }
      return body(raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(length))
    }
  }
}

/// A TCP socket that is closed with its owner.
final class TCPSocket: @unchecked Sendable {
  private let lock = NSLock()
  private var number: Int32

  /// The descriptor, or -1 after `close()`.
  var descriptor: Int32 { lock.withLock { number } }

  init(family loopback: Loopback) throws {
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    number = Int32(try checked("socket", socket(loopback.family, type, 0)))
  }

  init(adopting descriptor: Int32) {
    number = descriptor
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
  }

  deinit { close() }

  func close() {
    lock.withLock {
      if number >= 0 { _ = Glibc.close(number) }
      number = -1
    }
  }

  func set<Value>(_ option: Int32, _ value: Value, level: Int32 = SOL_SOCKET) throws {
    try withUnsafeBytes(of: value) { raw in
      let length = socklen_t(raw.count)
      try checked(
        "setsockopt \(option)", setsockopt(descriptor, level, option, raw.baseAddress!, length))
    }
  }

  /// No call on this socket lasts longer: connect, accept, send and receive fail with EAGAIN.
  func limitWaiting(to seconds: Int) throws {
    let limit = timeval(tv_sec: seconds, tv_usec: 0)
    try set(SO_RCVTIMEO, limit)
    try set(SO_SNDTIMEO, limit)
  }

  func bind(_ loopback: Loopback, port: UInt16) throws {
    try set(SO_REUSEADDR, Int32(1))
    try checked("bind", loopback.withAddress(port: port) { Glibc.bind(descriptor, $0, $1) })
  }

  func connect(_ loopback: Loopback, port: UInt16) throws {
    try checked(
      "connect", loopback.withAddress(port: port) { Glibc.connect(descriptor, $0, $1) })
  }

  /// The port that the kernel chose or that was bound.
  var localPort: UInt16 {
    var address = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    _ = withUnsafeMutableBytes(of: &address) {
      getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
    }
    return UInt16(bigEndian: address.sin6_port)  // at the same place in sockaddr_in
  }

  /// Drops every packet that arrives here (socket(7), SO_ATTACH_FILTER): the machine that this
  /// socket stands for is switched off. Neither SYN nor data nor keepalive gets an answer.
  func goSilent() throws {
    var dropEverything = ClassicFilterStep(code: 6 /* BPF_RET | BPF_K */, operand: 0)
    try withUnsafeMutablePointer(to: &dropEverything) {
      try set(SO_ATTACH_FILTER, ClassicFilter(count: 1, steps: $0))
    }
  }

  func endSilence() throws { try set(SO_DETACH_FILTER, Int32(0)) }
}

/// struct sock_filter and struct sock_fprog of <linux/filter.h>.
private struct ClassicFilterStep {
  var code: UInt16
  var jumpIfTrue: UInt8 = 0
  var jumpIfFalse: UInt8 = 0
  var operand: UInt32
}
private struct ClassicFilter {
  var count: UInt16
  var steps: UnsafeMutablePointer<ClassicFilterStep>
}

/// A port that nobody else is given while this lives, and on which nobody listens yet. The daemon
/// may listen on it (both ends set SO_REUSEADDR); a connect before that is refused.
final class ReservedPort: Sendable {
  private let socket: TCPSocket
  let number: UInt16

  init() throws {
    socket = try TCPSocket(family: .everywhere)
    try socket.bind(.everywhere, port: 0)
    number = socket.localPort
  }
}

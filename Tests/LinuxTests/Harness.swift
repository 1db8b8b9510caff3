// What the tests of the kernel's wrappers share: connections over loopback and waiting with a
// deadline. Nothing here waits for a span of time that should suffice.
import Glibc
import Linux

/// Long enough for anything that is going to happen on a busy machine.
let patienceMilliseconds: Int32 = 20_000

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Looks again and again until `condition` holds. For what announces itself in no other way.
func eventually(_ what: String, _ condition: () throws -> Bool) throws {
  let end = ContinuousClock.now + .milliseconds(Int(patienceMilliseconds))
  while try !condition() {
    if ContinuousClock.now >= end { throw Failure("never happened: \(what)") }
    usleep(1_000)
  }
}

/// poll(2): whether `events` come true within `milliseconds`.
func polls(_ number: Int32, _ events: Int32, within milliseconds: Int32) -> Bool {
  var one = pollfd(fd: number, events: Int16(events), revents: 0)
  return poll(&one, 1, milliseconds) == 1
}

/// Waits for bytes, the end of the stream, or an error.
func waitReadable(_ number: Int32) throws {
  guard polls(number, POLLIN, within: patienceMilliseconds) else {
    throw Failure("nothing to read on \(number)")
  }
}

/// The error that `body` ends with; nil when it ends well.
func failure(of body: () throws(Errno) -> Void) -> Errno? {
  do throws(Errno) {
    try body()
    return nil
  } catch {
    return error
  }
}

let keepalive = KeepaliveTimes(
  idleSeconds: 11, intervalSeconds: 7, userTimeoutMilliseconds: 23_000)

extension SocketAddress {
  static func loopback(port: UInt16) -> SocketAddress {
    SocketAddress(high: 0, low: 0xffff_7f00_0001, port: port)
  }

  static func loopbackIPv6(port: UInt16) -> SocketAddress {
    SocketAddress(high: 0, low: 1, port: port)
  }

  /// Containers often have no IPv6; what needs it is then left out.
  static let machineHasIPv6 =
    failure { () throws(Errno) in
      _ = try Socket.listening(on: .loopbackIPv6(port: 0), port: 0, keepalive: keepalive)
    } == nil
}

/// Two ends of one TCP connection over loopback.
struct Connection: ~Copyable {
  let near: Socket
  let far: Socket
  /// The near end, as the listener saw it come.
  let peer: SocketAddress

  init() throws {
    let listener = try Socket.listening(on: .loopback(port: 0), port: 0, keepalive: keepalive)
    try self.init(listener: listener, to: .loopback(port: listener.localAddress().port))
  }

  init(listener: borrowing Socket, to address: SocketAddress) throws {
    let near = try Socket.stream(for: address)
    near.sendAtOnce()
    near.setUp(keepalive)
    let result = try finishConnecting(near, to: address)
    guard result == .connected else { throw Failure("connecting: \(result)") }
    try waitReadable(listener.number)
    guard let accepted = try listener.accept() else { throw Failure("nobody to accept") }
    self.near = near
    far = Socket(owning: accepted.number)
    peer = accepted.peer
  }
}

func finishConnecting(_ socket: borrowing Socket, to address: SocketAddress) throws
  -> ConnectResult
{
  let result = socket.connect(to: address)
  guard result == .inProgress else { return result }
  guard polls(socket.number, POLLOUT, within: patienceMilliseconds) else {
    throw Failure("still connecting")
  }
  return socket.connect(to: address)
}

/// Ends the owner, and so closes the socket.
func close(_ socket: consuming Socket) {}

func option(_ number: Int32, _ level: Int32, _ name: Int32) -> Int32 {
  var value: Int32 = -1
  var length = socklen_t(4)
  return getsockopt(number, level, name, &value, &length) == 0 ? value : -1
}

/// Some bytes that differ from their neighbours.
func testBytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) } }

extension Socket {
  borrowing func send(_ bytes: [UInt8]) -> Transfer {
    bytes.withUnsafeBytes { send($0.baseAddress!, count: $0.count) }
  }

  /// What comes, once something has come: bytes and how the call ended.
  borrowing func receive(_ limit: Int) throws -> (Transfer, [UInt8]) {
    try LinuxTests.waitReadable(number)
    var bytes = [UInt8](repeating: 0, count: limit)
    let result = bytes.withUnsafeMutableBytes { receive(into: $0.baseAddress!, limit: limit) }
    guard case .moved(let count) = result else { return (result, []) }
    return (result, Array(bytes.prefix(count)))
  }

  borrowing func receiveExactly(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let (result, piece) = try receive(count - bytes.count)
      guard !piece.isEmpty else { throw Failure("after \(bytes.count) bytes: \(result)") }
      bytes += piece
    }
    return bytes
  }

  /// Sends until the socket takes no more; the bytes it took.
  borrowing func sendUntilFull() throws -> Int {
    let bytes = testBytes(65_536)
    var total = 0
    while true {
      let result = send(bytes)
      guard case .moved(let count) = result else {
        if result == .wouldBlock { return total }
        throw Failure("sending: \(result)")
      }
      total += count
    }
  }
}

/// Work on a thread made by the wrapper under test.
final class Background: @unchecked Sendable {
  private let work: @Sendable () -> Void
  private let done: EventCounter

  /// Only one thread at a time may have the `name`.
  init(name: StaticString, _ work: @escaping @Sendable () -> Void) throws {
    self.work = work
    done = try EventCounter(blocking: false)
    let own = Unmanaged.passRetained(self)
    try startThread(
      name: name,
      { argument in
        let own = Unmanaged<Background>.fromOpaque(argument!).takeRetainedValue()
        own.work()
        own.done.signal()
      }, own.toOpaque())
  }

  /// Once: what the work has written is there for its reader by taking the count.
  func wait() throws {
    try waitReadable(done.descriptor.number)
    done.take()
  }
}

// What a connection has while it is on its way to the target, and gives up when it is there: the
// race, and the sockets of the attempts that are under way.
import Core
import Linux

final class Dialing {
  /// One socket on its way to one address.
  final class Attempt {
    fileprivate var socket: Socket
    let endpoint: Endpoint

    init(_ socket: consuming Socket, to endpoint: Endpoint) {
      self.socket = socket
      self.endpoint = endpoint
    }

    var number: Int32 { socket.number }

    /// - Throws: EBADF, which it is not.
    func localAddress() throws(Errno) -> IPAddress {
      Endpoint(try socket.localAddress()).address
    }

    func send(_ bytes: UnsafeRawPointer, count: Int) -> Transfer {
      socket.send(bytes, count: count)
    }

    /// For a client whose first bytes are here already.
    func acknowledgeWithBytes() { socket.acknowledgeWithBytes() }

    /// Begins to connect; called again, tells how far it came.
    func connect() -> ConnectResult { socket.connect(to: SocketAddress(endpoint)) }
  }

  /// When the client has waited for long enough.
  let end: Instant
  /// Nil until the target's addresses are known.
  var race: Race?
  /// An answer is awaited, from a lookup that began at this time or later if the race runs already.
  var awaits: Awaits = .firstAnswer
  /// Under way, the oldest first.
  private(set) var attempts: [Attempt] = []
  /// What was told of the attempts since each was asked.
  var hints = Readiness(bits: 0)
  private var failure: Failure?
  private var failedEndpoint: Endpoint?

  /// Where the failure that Race reports was met: at what hangs, or else at what failed.
  var failingEndpoint: Endpoint? { attempts.first?.endpoint ?? failedEndpoint }

  enum Awaits {
    case nothing
    case firstAnswer
    case answer(since: Instant)
  }

  init(end: Instant) { self.end = end }

  func add(_ attempt: Attempt) { attempts.append(attempt) }

  func fail(_ endpoint: Endpoint, _ failure: Failure, now: Instant) {
    if Race.tells(failure, more: self.failure) {
      self.failure = failure
      failedEndpoint = endpoint
    }
    race!.fail(failure, now: now)
  }

  func remove(at index: Int) { attempts.remove(at: index) }

  func removeLast() { attempts.removeLast() }

  /// What has just connected must not read an orderly end.
  func resetAttemptsOnClose() {
    for attempt in attempts { attempt.socket.resetOnClose() }
  }

  /// The socket of the attempt that has won. The others are closed with this object.
  func takeSocket(at index: Int) -> Socket { attempts[index].socket.take() }
}

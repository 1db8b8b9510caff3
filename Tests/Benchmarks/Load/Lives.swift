// The near end of the cases that are about connections as such: each lives for one exchange, one
// after the other on each lane.
import Glibc
import Linux

/// One connection after the other.
private struct Lane: ~Copyable {
  enum End {
    /// As it should.
    case inOrder
    case refused, reset, closed, silent, wrong
  }

  enum Stage {
    /// Between two lives: the last one was refused.
    case resting
    /// The request finds no room, for it is not connected yet.
    case connecting
    case waiting
  }

  var socket = Socket.none
  var stage = Stage.resting
  var sent = 0
  var received = 0
  var beganAt: Int64 = 0
}

/// In connects no port runs out: the server ends a connection first, so it is the listening ends
/// that keep what is left of it (TIME_WAIT), and neither the ports of this end nor those with which
/// a forwarder calls the server stay taken. In first-byte the client leaves first, but lives are
/// few; in client-closes, too, and there are many: what becomes of the ports is looked at.
struct Lives: ~Copyable {
  /// A life that has lasted so long is given up.
  private static let patience: Int64 = 5_000_000_000
  /// After a refusal.
  private static let rest: Int64 = 1_000_000
  private static let checkEvery: Int64 = 100_000_000
  /// Of first-byte, beside the time: each leaves a port taken for a minute.
  private static let warmUpLives = 20
  /// Of first-byte: how long all lives together may take.
  private static let patienceWithAll: Int64 = 60_000_000_000

  private let order: Order
  private let poller: Poller
  private let lanes: UnsafeMutablePointer<Lane>
  private let count: Int
  /// What is sent and comes back; or the greeting.
  private let expected: UnsafeMutableRawPointer
  private let size: Int
  private let scratch = UnsafeMutableRawPointer.allocate(
    byteCount: Pattern.longestPiece, alignment: 4096)
  private var figures = Figures()
  private var now = monotonicNanoseconds()
  private var checkAt: Int64 = 0
  private var isOver = false
  private var living = 0
  private var ended = 0

  init(_ order: Order) throws(Errno) {
    self.order = order
    poller = try Poller()
    count = order.load == .firstByte ? 1 : order.connections
    size = order.load == .connects ? order.size : Header.length
    lanes = .allocate(capacity: count)
    for index in 0..<count { (lanes + index).initialize(to: Lane()) }
    expected = .allocate(byteCount: size, alignment: 16)
    expected.copyMemory(from: Pattern().at(0), byteCount: size)
    switch order.load {
    case .connects: Header(mode: .answer, size: size, run: 0).write(to: expected)
    case .clientCloses: Header(mode: .echo, size: size, run: 0).write(to: expected)
    case _: break
    }
  }

  deinit {
    lanes.deinitialize(count: count)
    lanes.deallocate()
    expected.deallocate()
    scratch.deallocate()
  }

  mutating func run() -> Figures {
    if order.load == .firstByte {
      liveGreeted()
    } else {
      live(until: now + warmUp, lives: .max)
      measure(until: now + order.nanoseconds, lives: .max)
      leave()
    }
    var result = Figures()
    swap(&result, &figures)
    return result
  }

  /// A first connection makes the server greet all others, while it lasts.
  private mutating func liveGreeted() {
    let greeter: Socket
    do throws(Errno) {
      greeter = try askForGreetings(port: order.port)
    } catch {
      return figures.errors.connect += 1
    }
    live(until: now + warmUp, lives: Self.warmUpLives)
    measure(until: now + Self.patienceWithAll, lives: order.connections)
    leave()
    _ = consume greeter
  }

  private mutating func measure(until deadline: Int64, lives: Int) {
    figures.latencies.clear()
    let (start, totals) = (now, figures.totals)
    live(until: deadline, lives: lives)
    figures.seconds = Double(now - start) / 1e9
    figures.bytes = figures.totals.bytes - totals.bytes
    figures.operations = figures.totals.operations - totals.operations
  }

  private mutating func live(until deadline: Int64, lives: Int) {
    let last = lives == .max ? .max : ended + lives
    while now < deadline, ended < last { step() }
  }

  /// Lets everybody end who lives.
  private mutating func leave() {
    isOver = true
    while living > 0 { step() }
  }

  private mutating func step() {
    if now >= checkAt { check() }
    for index in 0..<poller.wait(milliseconds: living > 0 ? 100 : 1) {
      let event = poller.event(index)
      attend(to: lanes + Int(event.token), event.readiness)
    }
    now = monotonicNanoseconds()
  }

  /// From time to time: gives up who waits for too long, and tries again who was refused.
  private mutating func check() {
    checkAt = now + (living < count ? Self.rest : Self.checkEvery)
    for index in 0..<count {
      let lane = lanes + index
      switch lane.pointee.stage {
      case .resting where !isOver: begin(lane)
      case .resting: break
      case .connecting, .waiting:
        if now - lane.pointee.beganAt > Self.patience { end(lane, .silent) }
      }
    }
  }

  // MARK: A life

  private mutating func begin(_ lane: UnsafeMutablePointer<Lane>) {
    let address = loopback(port: order.port)
    living += 1
    (lane.pointee.sent, lane.pointee.received) = (0, 0)
    lane.pointee.stage = .connecting
    lane.pointee.beganAt = monotonicNanoseconds()
    do throws(Errno) {
      lane.pointee.socket = try .stream(for: address)
    } catch {
      return end(lane, .refused)
    }
    if case .failed = lane.pointee.socket.connect(to: address) { return end(lane, .refused) }
    guard order.load != .firstByte else {
      lane.pointee.stage = .waiting
      return watch(lane, for: .bytes, isNew: true)
    }
    send(lane)
    switch lane.pointee.stage {
    case .waiting: watch(lane, for: .bytes, isNew: true)
    case .connecting: watch(lane, for: .both, isNew: true)
    case .resting: break
    }
  }

  private mutating func attend(to lane: UnsafeMutablePointer<Lane>, _ readiness: Readiness) {
    if lane.pointee.stage == .connecting {
      send(lane)
      if lane.pointee.stage == .waiting { watch(lane, for: .bytes) }
    }
    if lane.pointee.stage == .waiting, readiness.callsForReading { receive(lane) }
    if lane.pointee.stage == .resting, !isOver { begin(lane) }
  }

  private mutating func send(_ lane: UnsafeMutablePointer<Lane>) {
    let sent = lane.pointee.sent
    switch lane.pointee.socket.send(expected + sent, count: size - sent) {
    case .moved(let count): lane.pointee.sent += count
    case .wouldBlock: break
    case .ended: end(lane, .reset)
    case .failed(let error): end(lane, error == .refused ? .refused : .reset)
    }
    if lane.pointee.sent == size { lane.pointee.stage = .waiting }
  }

  /// The answer and, behind it, the end: a life is whole when both have come.
  private mutating func receive(_ lane: UnsafeMutablePointer<Lane>) {
    while lane.pointee.stage == .waiting {
      let received = lane.pointee.received
      switch lane.pointee.socket.receive(into: scratch, limit: size - received + 1) {
      case .moved(let count):
        lane.pointee.received += count
        let isRight =
          received + count <= size && memcmp(scratch, expected + received, count) == 0
        if !isRight { return end(lane, .wrong) }
        let isEnough = order.load != .connects && received + count == size
        if isEnough || order.load == .firstByte { return end(lane, .inOrder) }
      case .wouldBlock: return
      case .ended: return end(lane, received == size ? .inOrder : .closed)
      case .failed(let error): return end(lane, error == .refused ? .refused : .reset)
      }
    }
  }

  private mutating func end(_ lane: UnsafeMutablePointer<Lane>, _ end: Lane.End) {
    lane.pointee.socket = .none
    lane.pointee.stage = .resting
    living -= 1
    ended += 1
    switch end {
    case .refused:
      figures.errors.connect += 1
      return
    case .reset: figures.errors.reset += 1
    case .closed, .silent: figures.errors.closed += 1
    case .wrong: figures.errors.wrong += 1
    case .inOrder:
      figures.latencies.record(nanoseconds: monotonicNanoseconds() - lane.pointee.beganAt)
      figures.totals.operations += 1
      figures.totals.bytes += order.load == .firstByte ? size : 2 * size
    }
    figures.totals.connections += 1
  }

  private func watch(
    _ lane: UnsafeMutablePointer<Lane>, for wanted: Wanted, isNew: Bool = false
  ) {
    Load.watch(
      lane.pointee.socket, with: poller, for: wanted, token: lane - lanes, isNew: isNew)
  }
}

/// Blocks; throws when the connection does not come about within a few seconds.
private func askForGreetings(port: UInt16) throws(Errno) -> Socket {
  let address = loopback(port: port)
  let poller = try Poller()
  let socket = try Socket.stream(for: address)
  if case .failed(let error) = socket.connect(to: address) { throw error }
  watch(socket, with: poller, for: .both, token: 0, isNew: true)
  var bytes = (UInt64(0), UInt64(0))
  Header(mode: .greet, size: Header.length, run: 0).write(to: &bytes)
  _ = poller.wait(milliseconds: 5000)
  guard socket.send(&bytes, count: Header.length) == .moved(Header.length) else {
    throw .refused
  }
  watch(socket, with: poller, for: .bytes, token: 0)
  _ = poller.wait(milliseconds: 5000)
  guard socket.receive(into: &bytes, limit: Header.length) == .moved(Header.length) else {
    throw .refused
  }
  return socket
}

// One thread's loop: wait, note what happened, let each connection with something to do have its
// turn. What is done in a turn: Acceptor.swift, Connector.swift, Mover.swift,
// ConnectionTimers.swift, TargetChange.swift.
import Core
import Linux
import Synchronization

final class Worker {
  let index: Int
  let shared: Shared
  let door: WorkerDoor
  let settings: Settings
  let peerTimes: PeerTimes
  var rules = FlowRules()
  /// Where the copying way reads to. Holds nothing between two steps of one flow.
  let buffer: UnsafeMutableRawPointer

  var now = Instant.now
  var table = ConnectionTable()
  var pipes: PipePool
  var names: Names
  var timers = Timers()
  var fold = WarningFold()
  var churn = ChurnWatch()
  var line: LogLine
  var phase = Phase.serving
  var accepting = Accepting()
  /// Of the connection whose turn it is.
  var turn = Relay.Turn(FlowRules())

  // The queue of connections with something to do.
  private var firstQueued: UInt32 = 0
  private var lastQueued: UInt32 = 0
  private var queuedCount = 0
  private var hasQueuedLines = false

  init(index: Int, shared: Shared) {
    self.index = index
    self.shared = shared
    door = shared.doors[index]
    settings = shared.settings
    peerTimes = PeerTimes(peerTimeout: settings.peerTimeout)
    rules.transfer = settings.transfer
    buffer = .allocate(byteCount: Int(rules.bufferBytes), alignment: 4096)
    pipes = PipePool(share: shared.limits.pipes, door: door)
    line = LogLine(format: settings.logFormat)
    names = Names(worker: index, board: shared.names, forwards: settings.forwards)
  }

  // A worker lives as long as the process; its buffer with it.
  deinit { buffer.deallocate() }

  func start() throws(Errno) {
    try listen()
    let argument = Unmanaged.passRetained(self).toOpaque()
    try startThread(
      name: "sidecar-worker",
      { Unmanaged<Worker>.fromOpaque($0!).takeUnretainedValue().run() }, argument)
  }

  private func run() -> Never {
    while true {
      let count = door.poller.wait(milliseconds: waitMilliseconds())
      now = .now
      for index in 0..<count { handle(door.poller.event(index)) }
      while let key = timers.popExpired(now) { expire(key) }
      runQueue()
      if accepting.told != 0 { takeClients(events: count) }
      if names.takeDemands() { shared.supervisorWake.signal() }
      if hasQueuedLines {
        hasQueuedLines = false
        shared.writer.notify(of: door.log)
      }
    }
  }

  private func waitMilliseconds() -> Int32 {
    if queuedCount > 0 { return 0 }
    guard let deadline = timers.next else { return -1 }
    return Int32(clamping: max(0, (deadline - .now).wholeMilliseconds))
  }

  private func handle(_ event: Event) {
    switch Token(bits: event.token) {
    case .connection(let slot, let generation, let isUpstream):
      guard let connection = table.find(slot, generation: generation) else { return }
      note(event.readiness, of: isUpstream ? .upstream : .client, connection)
      enqueue(slot, connection)
    case .listener(let index):
      accepting.told |= 1 << UInt64(index)
    case .arrival(let arrival): adopt(arrival, hints: event.readiness)
    case .wake:
      door.wake.take()
      followPhase()
      followPlaces()
      followNames()
      answerCensus()
    }
  }

  func note(
    _ readiness: Readiness, of end: End, _ connection: UnsafeMutablePointer<Connection>
  ) {
    switch connection.pointee.phase {
    case .relaying:
      // From here on a read may begin with an urgent byte.
      if readiness.isUrgent || readiness.hasError, end == .upstream { setUpUpstream(connection) }
      connection.pointee.note(readiness, of: end)
    case .accepted, .met, .dialing:
      switch end {
      case .client: connection.pointee.note(readiness, of: .client)
      case .upstream: connection.pointee.dialing?.hints.merge(readiness)
      }
    }
  }

  /// Under which a connection's socket is watched.
  func token(_ slot: UInt32, _ end: End) -> UInt64 {
    Token.connection(
      slot: slot, generation: table.generation(slot), isUpstream: end == .upstream
    ).bits
  }

  // MARK: The queue

  /// Gives the connection a turn, once, after those that are queued already.
  func enqueue(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    guard !connection.pointee.isQueued else { return }
    connection.pointee.isQueued = true
    if queuedCount == 0 {
      firstQueued = slot
    } else {
      table.pointer(lastQueued).pointee.nextQueued = slot
    }
    lastQueued = slot
    queuedCount += 1
  }

  /// One turn for each that is queued now. Connections end in their turn and nowhere else, so the
  /// queue never names one that is gone.
  private func runQueue() {
    for _ in 0..<queuedCount {
      let slot = firstQueued
      let connection = table.pointer(slot)
      firstQueued = connection.pointee.nextQueued
      queuedCount -= 1
      connection.pointee.isQueued = false
      switch connection.pointee.phase {
      case .accepted, .met, .dialing: dialTurn(slot, connection)
      case .relaying: relayTurn(slot, connection)
      }
    }
  }

  // MARK: What the supervisor asks

  private func followPhase() {
    let asked = shared.phase.load(ordering: .acquiring)
    guard asked != phase else { return }
    phase = asked
    guard asked != .delaying else { return }
    if accepting.state != .left {
      reportFolded(.never)
      leaveListeners()
    }
    for slot in 0..<UInt32(table.slots) where table.isInUse(slot) {
      let connection = table.pointer(slot)
      if let reason = asked.cutReason { connection.pointee.relay.abort(reason) }
      enqueue(slot, connection)
    }
  }

  // MARK: The log

  @inline(__always)
  func logs(_ level: LogLevel) -> Bool { level <= settings.logLevel }

  /// Queues the line that was just built.
  func queueLine() {
    door.log.append(line.bytes)
    hasQueuedLines = true
  }

  func target(of connection: UnsafeMutablePointer<Connection>) -> Target {
    settings.forwards[Int(connection.pointee.forward)].target
  }

  /// The end that has been reached; nil before.
  func upstreamEndpoint(of connection: UnsafeMutablePointer<Connection>) -> Endpoint? {
    guard connection.pointee.phase == .relaying else { return nil }
    return Endpoint(
      address: connection.pointee.upstreamAddress, port: target(of: connection).port)
  }
}

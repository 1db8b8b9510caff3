// Answers what operators ask: over the control socket, on the metrics page, by SIGUSR1. Runs on the
// supervisor's thread; asks the workers for what they alone know, and waits for none of them.
import Core
import Linux
import Synchronization

final class Operations {
  private let shared: Shared
  private let poller: Int32
  private let log: (LogLevel, (inout LogLine) -> Void) -> Void
  private let startedAt = Instant.now
  private let startedWallTime = WallTime.now
  /// What the process is doing, and what the resolver knows: the supervisor's to say.
  var state = StatusReport.State.starting
  var names: () -> NameCounts = { NameCounts() }
  var sandbox = SandboxState.off

  private var control: ReplyServer?
  private var metrics: ReplyServer?
  /// When the control socket's name was taken: when to try again.
  private var controlAgain: Instant?

  // A status that is being put together.
  private var askedForTable: [UInt64] = []
  private var askedForJSON: [UInt64] = []
  private var isAskedBySignal = false
  private var censusEnds: Instant?

  private static let controlToken: UInt64 = 16
  private static let metricsToken: UInt64 = 64
  private static let maxControlClients = 8
  private static let maxScrapers = 16
  /// A worker takes microseconds to look at its table, and a turn of its loop before that.
  private static let censusTime = Nanoseconds.seconds(1)
  private static let clientTime = Nanoseconds.seconds(5)
  /// Soon enough after a predecessor that drains while this one starts.
  private static let controlInterval = Nanoseconds.seconds(2)

  init(
    shared: Shared, poller: Int32, log: @escaping (LogLevel, (inout LogLine) -> Void) -> Void
  ) {
    self.shared = shared
    self.poller = poller
    self.log = log
  }

  // MARK: Opening

  /// A name that is taken keeps nothing from starting: forwarding matters more.
  func openControl(now: Instant) {
    let name = ControlRequest.socketName(port: shared.settings.controlPort)
    do throws(Errno) {
      control = try ReplyServer(
        Listener(Socket.listening(atLocalName: name), forward: 0), isLocal: true,
        firstToken: Self.controlToken,
        poller: poller, maxClients: Self.maxControlClients, time: Self.clientTime,
        admits: { socket in Self.mayAsk(socket) },
        decide: { [unowned(unsafe) self] in decideControl($0, $1) })
      controlAgain = nil
    } catch {
      if controlAgain == nil {
        log(.warn) { $0.controlUnavailable(name: name, code: error.code, at: .now) }
      }
      controlAgain = now + Self.controlInterval
    }
  }

  var isControlOpen: Bool { control != nil }

  private static func mayAsk(_ socket: borrowing Socket) -> Bool {
    do throws(Errno) {
      let user = try socket.peerUser()
      return user == 0 || user == effectiveUser()
    } catch {
      return false
    }
  }

  /// - Throws: ENOMEM.
  func openMetrics(_ listener: Listener) throws(Errno) {
    metrics = try ReplyServer(
      listener, isLocal: false, firstToken: Self.metricsToken, poller: poller,
      maxClients: Self.maxScrapers, time: Self.clientTime, admits: { _ in true },
      decide: { [unowned(unsafe) self] in decideMetrics($0, $1) })
  }

  // MARK: Events

  func owns(_ token: UInt64) -> Bool {
    (control?.owns(token) ?? false) || (metrics?.owns(token) ?? false)
  }

  func handle(_ token: UInt64, now: Instant) {
    if let control, control.owns(token) { control.handle(token, now: now) }
    if let metrics, metrics.owns(token) { metrics.handle(token, now: now) }
  }

  /// Does what is due; returns when to be called again.
  func serve(now: Instant) -> Instant? {
    if let again = controlAgain, again <= now { openControl(now: now) }
    control?.expire(now: now)
    metrics?.expire(now: now)
    if let ends = censusEnds { finishCensus(now, isOver: ends <= now) }
    var next = min(censusEnds ?? .never, controlAgain ?? .never)
    if let deadline = control?.deadline { next = min(next, deadline) }
    if let deadline = metrics?.deadline { next = min(next, deadline) }
    return next == .never ? nil : next
  }

  /// SIGUSR1: the status goes to the log once.
  func logStatus(now: Instant) {
    isAskedBySignal = true
    beginCensus(now)
  }

  // MARK: The control socket

  private func decideControl(_ client: UInt64, _ line: [UInt8]) -> ReplyServer.Decision {
    // Our own client sends its line in one piece; whoever does not is not one.
    guard let request = ControlRequest(line[...]) else {
      return .reply([UInt8]("unknown request\n"))
    }
    switch request {
    case .health: return .reply([UInt8](ControlRequest.ok))
    case .target:
      let forwards = shared.settings.forwards
      let health = TargetHealth.judge(forwards: forwards.count, now: .now) {
        counts(ofForward: $0)
      }
      return .reply(health.line(forwards))
    case .status: askedForTable.append(client)
    case .statusJSON: askedForJSON.append(client)
    }
    beginCensus(.now)
    return .later
  }

  // MARK: The metrics page

  private func decideMetrics(_ client: UInt64, _ bytes: [UInt8]) -> ReplyServer.Decision {
    let verdict = HTTPRequest.judge(bytes)
    guard verdict != .incomplete else { return .askForMore }
    var page: [UInt8] = []
    if case .metrics = verdict { page = report(.now).metrics }
    return .reply(HTTPRequest.response(to: verdict, page: page))
  }

  // MARK: The status

  private func beginCensus(_ now: Instant) {
    guard censusEnds == nil else { return }
    censusEnds = now + Self.censusTime
    for door in shared.doors {
      door.census.ask()
      door.wake.signal()
    }
  }

  private func finishCensus(_ now: Instant, isOver: Bool) {
    var silent = 0
    var oldest = OldestConnections()
    for door in shared.doors {
      guard let views = door.census.take() else {
        silent += 1
        continue
      }
      for view in views { oldest.add(view) }
    }
    guard silent == 0 || isOver else { return }
    censusEnds = nil
    var report = report(now)
    report.silentWorkers = silent
    report.connections = oldest.views
    for client in askedForTable { control?.reply(client, report.table) }
    for client in askedForJSON { control?.reply(client, report.json) }
    askedForTable = []
    askedForJSON = []
    guard isAskedBySignal else { return }
    isAskedBySignal = false
    var rest = report.table[...]
    while let line = nextPart(&rest, before: UInt8(ascii: "\n")) {
      if line.isEmpty { continue }
      log(.info) { $0.statusLine(Array(line), at: .now) }
    }
  }

  private func report(_ now: Instant) -> StatusReport {
    var report = StatusReport(
      now: now, startedAt: startedAt, startedWallTime: startedWallTime,
      version: releaseVersion(), state: state)
    report.descriptors = openDescriptors() ?? 0
    report.maxDescriptors = shared.limits.descriptors
    report.lostLogLines = shared.writer.lostLines
    report.sandbox = sandbox
    guard shared.settings.mode == .proxy else { return report }
    report.workers = shared.limits.workers
    report.maxConnections = shared.limits.connections
    report.openConnections = shared.open.load(ordering: .relaxed)
    report.pipes = shared.doors.reduce(0) { $0 + $1.pipes.load(ordering: .relaxed) }
    report.maxPipes = shared.limits.pipes.count * shared.limits.workers
    report.names = names()
    for (index, forward) in shared.settings.forwards.enumerated() {
      let listen = Endpoint(
        address: shared.settings.listenAddress ?? IPAddress(high: 0, low: 0),
        port: forward.listenPort)
      let answer = shared.names.cell(ofForward: index).flatMap {
        shared.names.cells[$0].read()?.answer
      }
      report.forwards.append(
        ForwardStatus(
          listen: listen, target: forward.target, counts: counts(ofForward: index),
          answer: answer))
    }
    return report
  }

  private func counts(ofForward forward: Int) -> ForwardCounts {
    var counts = ForwardCounts()
    for door in shared.doors {
      counts.add { door.counters.value($0, of: forward) }
    }
    return counts
  }
}

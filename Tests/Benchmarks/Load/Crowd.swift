// The near end of the cases whose connections last: bulk, round trips, idle ones beside active
// ones, a stream beside round trips. Opens them, lets them work, and has them end in order.
import Linux

struct Crowd: ~Copyable {
  /// Some forwarders have a backlog of 5, and what does not fit there comes a second later.
  private static let openingAtOnce = 4
  /// How long nothing may happen while connections are opened, and when they end.
  private static let patience: Int64 = 5_000_000_000
  /// How long the opening may take although connections come about: what is left then was refused.
  private static let longestOpening: Int64 = 30_000_000_000
  private static let patienceAtEnd: Int64 = 2_000_000_000
  /// How long the end may take although something happens: a stream may never hear of it.
  private static let longestEnd: Int64 = 10_000_000_000
  private static let betweenTallies: Int64 = 10_000_000
  /// What a stream moves with one call beside round trips, which wait so long at most.
  private static let pieceBesideRoundTrips = 1 << 16

  let order: Order
  let poller: Poller
  let members: UnsafeMutablePointer<Member>
  let count: Int
  let pattern = Pattern()
  let message: Message
  let scratch = UnsafeMutableRawPointer.allocate(
    byteCount: Pattern.longestPiece, alignment: 4096)
  /// Of a stream, moved with one call.
  let piece: Int
  let number = newRun()

  var figures = Figures()
  var latestTally: Tally?
  /// Who has its answer leaves, instead of asking again.
  var isOver = false
  private var now = monotonicNanoseconds()
  /// Of those being opened, and of those that are open and not idle.
  private var opening = 0
  private var working = 0
  private var remaining: Int

  init(_ order: Order) throws(Errno) {
    self.order = order
    poller = try Poller()
    message = Message(size: order.size, pattern)
    piece = order.load == .mixed ? Self.pieceBesideRoundTrips : order.size
    let hasCompanion = order.load == .mixed || order.load == .bulkUp
    count = order.connections + order.idle + (hasCompanion ? 1 : 0)
    remaining = count
    members = .allocate(capacity: count)
    for index in 0..<count {
      (members + index).initialize(to: Member(order.role(of: index), index: index))
    }
  }

  deinit {
    members.deinitialize(count: count)
    members.deallocate()
    message.bytes.deallocate()
    scratch.deallocate()
  }

  mutating func run() -> Figures {
    open()
    for index in 0..<count where members[index].stage == .open { begin(members + index) }
    if order.load == .bulkUp {
      measureUploads()
    } else {
      measure()
    }
    leave()
    var result = Figures()
    swap(&result, &figures)
    return result
  }

  // MARK: Stages

  private mutating func open() {
    var next = 0
    let last = now + Self.longestOpening
    var deadline = now + Self.patience
    while opening > 0 || next < count, now < min(deadline, last) {
      while opening < Self.openingAtOnce, next < count {
        opening += 1
        connect(members + next)
        next += 1
      }
      guard opening > 0 else { continue }
      let before = opening
      step(until: deadline)
      if opening < before { deadline = now + Self.patience }
    }
    for index in 0..<count {
      let member = members + index
      switch member.pointee.stage {
      case .unborn, .connecting, .greeting: end(member, .refused)
      case .open, .leaving, .gone: break
      }
    }
  }

  private mutating func measure() {
    work(until: now + warmUp)
    figures.latencies.clear()
    let (start, totals) = (now, figures.totals)
    for index in 0..<count { members[index].noted = members[index].position }
    work(until: start + order.nanoseconds)
    figures.seconds = Double(now - start) / 1e9
    figures.bytes = figures.totals.bytes - totals.bytes
    figures.operations = figures.totals.operations - totals.operations
  }

  /// Between two tallies of what has arrived; what was sent would flatter whoever buffers most.
  private mutating func measureUploads() {
    work(until: now + warmUp)
    guard let first = newTally() else { return }
    work(until: first.nanoseconds + order.nanoseconds)
    guard let second = newTally() else { return }
    figures.seconds = Double(second.nanoseconds - first.nanoseconds) / 1e9
    figures.bytes = second.bytes - first.bytes
  }

  /// Everything on its way arrives, so that a forwarder has nothing left to do, and whatever has
  /// cost it time is counted in the totals.
  private mutating func leave() {
    isOver = true
    awaitAnswers()
    let companions = order.load == .bulkUp ? 1 : 0
    for index in 0..<count where members[index].stage == .open {
      endSending(members + index)
    }
    if order.load == .bulkUp { awaitDelivery() }
    let last = now + Self.longestEnd
    var deadline = now + Self.patienceAtEnd
    while remaining > companions, now < min(deadline, last) {
      if step(until: deadline) > 0 { deadline = now + Self.patienceAtEnd }
    }
    for index in 0..<count where members[index].isOwedSomething { figures.errors.closed += 1 }
  }

  /// Before anything else ends: to end thousands of idle ones takes time, which the answers that
  /// are on their way would seem to have taken.
  private mutating func awaitAnswers() {
    let deadline = now + Self.patienceAtEnd
    while now < deadline, (0..<count).contains(where: { members[$0].askedAt != 0 }) {
      step(until: deadline)
    }
  }

  /// An upload's end proves nothing: some forwarders end a connection when all that is left of it
  /// is in their kernel's hands.
  private mutating func awaitDelivery() {
    var sent = 0
    for index in 0..<count where members[index].role == .upload { sent += members[index].position }
    let last = now + Self.longestEnd
    var deadline = now + Self.patienceAtEnd
    var delivered = Tally(nanoseconds: 0, bytes: 0, wrong: 0)
    while delivered.bytes != sent, now < min(deadline, last), let tally = newTally() {
      if tally.bytes > delivered.bytes { deadline = now + Self.patienceAtEnd }
      delivered = tally
      step(until: now + Self.betweenTallies)
    }
    figures.totals.bytes = delivered.bytes
    figures.errors.wrong += delivered.wrong
    let areAllWell = figures.errors.closed + figures.errors.reset == 0
    if areAllWell, delivered.bytes != sent { figures.errors.wrong += 1 }
  }

  // MARK: Turns

  private mutating func work(until deadline: Int64) {
    while now < deadline, working > 0 { step(until: deadline) }
  }

  /// Waits once; how many were ready.
  @discardableResult
  private mutating func step(until deadline: Int64) -> Int {
    let milliseconds = max(0, deadline - now + 999_999) / 1_000_000
    let ready = poller.wait(milliseconds: Int32(milliseconds))
    for index in 0..<ready {
      let event = poller.event(index)
      attend(to: members + Int(event.token), event.readiness)
    }
    now = monotonicNanoseconds()
    return ready
  }

  private mutating func newTally() -> Tally? {
    latestTally = nil
    let counter = members + (count - 1)
    guard counter.pointee.stage == .open else { return nil }
    sendHeader(counter)
    let deadline = now + Self.patienceAtEnd
    while latestTally == nil, counter.pointee.stage == .open, now < deadline {
      step(until: deadline)
    }
    if latestTally == nil, counter.pointee.stage == .open { end(counter, .closed) }
    return latestTally
  }

  mutating func hasOpened(_ member: UnsafeMutablePointer<Member>) {
    member.pointee.stage = .open
    opening -= 1
    if member.pointee.role.works { working += 1 }
    figures.totals.connections += 1
  }

  mutating func end(_ member: UnsafeMutablePointer<Member>, _ end: Member.End) {
    switch end {
    case .refused: figures.errors.connect += 1
    case .reset: figures.errors.reset += 1
    case .closed: figures.errors.closed += 1
    case .wrong: figures.errors.wrong += 1
    case .inOrder: break
    }
    switch member.pointee.stage {
    case .connecting, .greeting: opening -= 1
    case .open, .leaving: if member.pointee.role.works { working -= 1 }
    case .unborn, .gone: break
    }
    remaining -= 1
    member.pointee.stage = .gone
    member.pointee.askedAt = 0
    member.pointee.socket = .none
  }
}

extension Order {
  /// The ones that work come first, then the idle ones, and the companion last.
  fileprivate func role(of index: Int) -> Member.Role {
    let isCompanion = index == connections + idle
    switch load {
    case .bulkUp: return isCompanion ? .counter : .upload
    case .bulkDown: return .download
    case .mixed where isCompanion: return .download
    case .roundTrips, .idleActive, .mixed, .connects, .clientCloses, .firstByte:
      return index < connections ? .pingPong : .idle
    }
  }
}

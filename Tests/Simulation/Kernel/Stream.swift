// A TCP socket of the daemon, as Linux has it (tcp.c, tcp_input.c): what has arrived and was not
// read, what was written and is not acknowledged, its ends and its errors. Bytes are positions in
// the stream that the peer sends; they are made when they are read, and judged when they are sent.

final class Stream: Object {
  enum State { case fresh, connecting, established, ended }

  var state = State.fresh
  /// At the other end of the wire, once there is one.
  var peer: Peer?
  let isClient: Bool
  var address = Address()
  var options = Options()

  // From the peer.
  var segments = Segments()
  var arrived = 0
  var readCount = 0
  var hasEnd = false
  var endedAt = Time.never
  var urgentAt: Int?
  let receiveCapacity: Int

  // To the peer.
  var written = 0
  var sent = 0
  var acknowledged = 0
  let sendCapacity: Int
  var wantsSpace = false
  /// Bytes from here on wait for what follows them.
  var heldFrom: Int?
  var endWritten = false
  var endSent = false
  var endAcknowledged = false
  private var isTransmitting = false
  /// The target has answered, and not yet heard of it.
  private var isAwaited = false
  /// The stream whose bytes go out here.
  var carries: Peer?

  // Its end.
  var error: Int32 = 0
  var isClosed = false
  /// How long the process had run by then.
  var closedAfter = Time.never
  var isReset = false
  var failedAt = Time.never
  var timedOut = false
  var isConnectReported = false
  var resetsOnClose = false

  // For judging (Checks).
  var acceptedAt = Time.never
  var lastMoved: Time = 0
  var lastHeard: Time = 0
  var windowClosedAt = Time.never
  var oldestSentAt = Time.never
  /// The daemon has received or sent here: it is no attempt any more.
  var isUsed = false
  /// Leads to no target that answers.
  var isLedAstray = true
  weak var partner: Stream?
  var place: Place?

  init(isClient: Bool) {
    self.isClient = isClient
    receiveCapacity = sim.plan.receiveCapacity
    sendCapacity = sim.plan.sendCapacity
  }

  var available: Int { arrived - readCount }
  var unacknowledged: Int { written - acknowledged + (endWritten && !endAcknowledged ? 1 : 0) }
  var used: Int { written - acknowledged }
  /// sk_stream_is_writeable().
  var hasSpace: Bool { 3 * used <= 2 * sendCapacity }
  var receiveSpace: Int { receiveCapacity - available }

  // MARK: poll(2)

  override func readiness() -> UInt32 {
    switch state {
    case .fresh: return Ready.output | Ready.hangUp
    case .connecting: return 0
    case .ended:
      let bits = Ready.input | Ready.ended | Ready.hangUp | Ready.output
      return error != 0 ? bits | Ready.error : bits
    case .established:
      var bits: UInt32 = 0
      let hidden = urgentAt == readCount && !options.urgentInline ? 1 : 0
      if available > hidden { bits |= Ready.input }
      if hasEnd { bits |= Ready.input | Ready.ended }
      if hasEnd && endWritten { bits |= Ready.hangUp }
      if let urgentAt, urgentAt < arrived, urgentAt >= readCount { bits |= Ready.urgent }
      if hasSpace || endWritten { bits |= Ready.output } else { wantsSpace = true }
      if error != 0 { bits |= Ready.error }
      return bits
    }
  }

  // MARK: From the wire

  func establish(_ peer: Peer) {
    self.peer = peer
    state = .established
    lastHeard = sim.now
    lastMoved = sim.now
    if !isClient { changed() }
  }

  func arrive(_ count: Int) {
    lastHeard = sim.now
    guard !isClosed else { return refuseBytes() }
    guard state == .established else { return }
    segments.add(count)
    arrived += count
    changed()
  }

  func arriveEnd() {
    lastHeard = sim.now
    guard state == .established, !isClosed else { return }
    hasEnd = true
    endedAt = sim.now
    changed()
  }

  func arriveReset() {
    guard state == .established || state == .connecting else { return }
    let code = state == .connecting ? Code.refused : hasEnd ? Code.brokenPipe : Code.reset
    breakOff(code)
  }

  /// The connection is gone, by a reset or a timeout.
  func breakOff(_ code: Int32) {
    guard state != .ended else { return }
    error = code
    timedOut = code == Code.timedOut
    state = .ended
    failedAt = sim.now
    if endWritten && code == Code.reset { sim.reach(.resetAfterHalfClose) }
    changed()
  }

  /// Nobody will ever read these.
  private func refuseBytes() {
    guard state == .established else { return }
    sim.reach(.bytesAfterClose)
    sendReset()
  }

  func acknowledge(_ count: Int) {
    acknowledged += count
    heldFrom = nil
    lastHeard = sim.now
    oldestSentAt = sent > acknowledged ? sim.now : .never
    guard state == .established else { return }
    if wantsSpace && hasSpace {
      wantsSpace = false
      changed()
    }
    pump()
  }

  /// Puts on the wire what the peer's window takes.
  func pump() {
    guard state == .established, !isTransmitting, let peer else { return }
    let window = peer.capacity - (sent - peer.read)
    let ready = (heldFrom ?? written) - sent
    let count = min(ready, window, peer.chunk())
    if count > 0 || endWritten { letBegin(peer) }
    if count > 0 {
      windowClosedAt = .never
      isTransmitting = true
      sent += count
      if oldestSentAt == .never { oldestSentAt = sim.now }
      peer.toPeer { [self] in
        isTransmitting = false
        guard peer.hears else { return }
        peer.deliver(count)
        peer.fromPeer { [self] in acknowledge(count) }
        pump()
      }
    } else if ready > 0 {
      if windowClosedAt == .never {
        windowClosedAt = sim.now
        sim.reach(.closedWindow)
      }
    } else if endWritten && !endSent {
      endSent = true
      peer.toPeer { [self] in
        guard peer.hears else { return }
        peer.deliverEnd()
        peer.fromPeer { [self] in
          endAcknowledged = true
          lastHeard = sim.now
        }
      }
    }
    if windowClosedAt != .never || peer.isVanished { watchTime() }
  }

  /// The target hears of a connection by the first segment after its answer: an acknowledgement, or
  /// the first bytes, or the end.
  func awaitBegin() {
    guard !options.acknowledgesAtOnce else { return peer!.begin() }
    isAwaited = true
    sim.afterRunning(.milliseconds(200)) { [self] in
      guard isAwaited, state == .established, !isClosed else { return }
      sim.fail("stall: the target of \(number) is not told that it is connected")
    }
  }

  private func letBegin(_ peer: Peer) {
    guard isAwaited else { return }
    isAwaited = false
    sim.reach(.acknowledgedWithBytes)
    peer.toPeer { peer.begin() }
  }

  // MARK: Timeouts of the kernel's own

  private var isWatched = false

  /// Looked at again and again while a timeout may come (tcp_timer.c).
  func watchTime() {
    guard !isWatched else { return }
    isWatched = true
    sim.after(.milliseconds(97)) { [self] in
      isWatched = false
      guard state == .established, let peer else { return }
      if hasTimedOut() { return breakOff(Code.timedOut) }
      if peer.isVanished || windowClosedAt != .never { watchTime() }
    }
  }

  private func hasTimedOut() -> Bool {
    let limit: Time =
      options.userTimeout > 0 ? .milliseconds(Int(options.userTimeout)) : .seconds(924)
    if windowClosedAt != .never {
      if options.userTimeout > 0 { return sim.now - windowClosedAt > limit }
      return peer!.isVanished && sim.now - lastHeard > .seconds(924)
    }
    guard peer!.isVanished else { return false }
    if oldestSentAt != .never { return sim.now - oldestSentAt > limit }
    guard options.keepalive, written == sent else { return false }
    let silent = sim.now - lastHeard
    let idle = Time.seconds(Int(options.keepaliveIdle))
    let interval = Time.seconds(Int(options.keepaliveInterval))
    // The first probe proves nothing; each later one looks at the time (tcp_keepalive_timer).
    guard silent >= idle + interval else { return false }
    return idle + (silent - idle) / interval * interval >= limit
  }

  /// Zero window probes double their distance.
  var probesUnanswered: Int {
    guard peer?.isVanished == true, windowClosedAt != .never else { return 0 }
    let silent = sim.now - max(lastHeard, windowClosedAt)
    var (probes, at) = (0, Time.milliseconds(200))
    while at < silent && probes < 15 {
      probes += 1
      at = at * 2 + .milliseconds(200)
    }
    return probes
  }

  override func receive(_ bytes: UnsafeMutableRawPointer, _ limit: Int) -> Int {
    receive(bytes, limit, peeks: false)
  }

  override func send(_ bytes: UnsafeRawPointer, _ count: Int, isHeldBack: Bool) -> Int {
    write(bytes, count, isHeldBack: isHeldBack)
  }

  override func close() {
    isClosed = true
    closedAfter = sim.ran
    sim.world.closed(self)
    guard state == .established else {
      if state == .connecting { sim.world.callOff(self) }
      return
    }
    if resetsOnClose || available > 0 {
      judgeReset()
      return sendReset()
    }
    if !endWritten {
      endWrites()
      judgeEnd()
    }
    pump()
  }
}

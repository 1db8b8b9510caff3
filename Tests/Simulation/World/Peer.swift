// A client or a target: the other end of one of the daemon's sockets, with its script.

final class Peer {
  /// The stream that it sends.
  let id: Int
  let isClient: Bool
  unowned let stream: Stream
  let capacity: Int
  private let largest: Int
  private let latency: ClosedRange<Int>
  private var script: ArraySlice<Step>
  private var isPausing = false
  private var echoes = false
  /// Two that echo each other must come to an end.
  private var echoesLeft = 2_000
  private var reading = Reading.eager
  private var isReadingLater = false

  // What it sends.
  private(set) var total = 0
  private(set) var sent = 0
  private(set) var wantsEnd = false
  private(set) var endSent = false
  private var isPushing = false

  // What it receives.
  private(set) var delivered = 0
  private(set) var read = 0
  private(set) var sawEnd = false
  private(set) var sawReset = false

  // How it left.
  private(set) var isClosed = false
  private(set) var hasReset = false
  private(set) var isVanished = false
  private(set) var vanishedAt = Time.never
  /// Where its bytes come out.
  weak var carrier: Stream?

  private var lastTo: Time = 0
  private var lastFrom: Time = 0

  init(id: Int, _ stream: Stream, isClient: Bool, script: [Step]) {
    self.id = id
    self.stream = stream
    self.isClient = isClient
    self.script = script[...]
    capacity = sim.chance.pick([2_000, 65_536, 65_536, 300_000])
    largest = sim.chance.pick([40, 1_460, 1_460, 16_384, 65_536])
    latency = sim.plan.latency
  }

  /// The daemon's packets arrive, and are answered.
  var hears: Bool { !isVanished }
  var isGone: Bool { isClosed || hasReset || sawReset || isVanished }
  var isWhole: Bool { wantsEnd && sent == total }

  func chunk() -> Int { sim.chance.one(in: 4) ? sim.chance.number(1...largest) : largest }

  // MARK: The wire, in order each way

  private func delay() -> Time {
    let base = Time.microseconds(sim.chance.number(latency))
    return sim.plan.isBusyNetwork && sim.chance.one(in: 20) ? base * 20 : base
  }

  func toPeer(_ action: @escaping () -> Void) {
    lastTo = max(lastTo, sim.now + delay())
    sim.at(lastTo, action)
  }

  func fromPeer(_ action: @escaping () -> Void) {
    lastFrom = max(lastFrom, sim.now + delay())
    sim.at(lastFrom, action)
  }

  // MARK: What arrives

  func deliver(_ count: Int) {
    delivered += count
    guard !isClosed else { return answerByReset() }
    readMore()
    proceed()
  }

  func deliverEnd() {
    sawEnd = true
    if echoes { wantsEnd = true }
    push()
    proceed()
  }

  func deliverReset() {
    guard !isVanished else { return }
    sawReset = true
  }

  /// Bytes for a socket that was closed.
  private func answerByReset() {
    guard !hasReset, !sawReset else { return }
    hasReset = true
    fromPeer { [stream] in stream.arriveReset() }
  }

  private func readMore() {
    switch reading {
    case .never: break
    case .eager: take(delivered - read)
    case .slow(let count, let gap):
      guard read < delivered, !isReadingLater else { return }
      isReadingLater = true
      sim.after(gap) { [self] in
        isReadingLater = false
        guard !isClosed, !hasReset else { return }
        if case .slow = reading { take(min(count, delivered - read)) }
        readMore()
        proceed()
      }
    }
  }

  private func take(_ count: Int) {
    guard count > 0 else { return }
    read += count
    if echoes, !wantsEnd, echoesLeft > 0 {
      echoesLeft -= 1
      total += count
      push()
    }
    if stream.written > stream.sent, !isVanished { fromPeer { [stream] in stream.pump() } }
  }

  // MARK: What it sends

  /// The daemon has made room.
  func windowOpens() { if !isPushing, sent < total { fromPeer { [self] in push() } } }

  private var mayPush: Bool {
    !isPushing && !isVanished && !hasReset && !sawReset && stream.state == .established
  }

  private func push() {
    guard mayPush else { return }
    let count = min(total - sent, stream.receiveSpace, chunk())
    if count > 0 {
      isPushing = true
      fromPeer { [self] in
        isPushing = false
        guard mayPush else { return }
        sent += count
        stream.arrive(count)
        push()
      }
    } else if wantsEnd, sent == total, !endSent {
      endSent = true
      fromPeer { [self] in
        if !hasReset, !isVanished { stream.arriveEnd() }
      }
    }
  }

  private func end() {
    wantsEnd = true
    push()
  }

  private func reset() {
    guard !isGone || isClosed, !hasReset else { return }
    hasReset = true
    fromPeer { [stream] in stream.arriveReset() }
  }

  /// As a target that is restarting.
  func resetSoon() { reset() }

  private func close() {
    guard !isClosed, !hasReset else { return }
    if delivered > read { return reset() }
    isClosed = true
    end()
  }

  /// Whatever it was about to do, it leaves now.
  func endLife() {
    script = []
    sim.trace("  life of \(id) ends")
    close()
  }

  // MARK: The script

  func begin() { proceed() }

  private func proceed() {
    while !isPausing, !hasReset, !sawReset, !isVanished, !isClosed, let step = script.first {
      guard perform(step) else { return }
      if !script.isEmpty { script.removeFirst() }
    }
    guard script.isEmpty, !isPausing, !isGone else { return }
    if sawEnd, read == delivered { echoes || wantsEnd ? finish() : end() }
  }

  private func finish() {
    if !wantsEnd { end() }
    isClosed = endSent
  }

  /// False when the step has to wait.
  private func perform(_ step: Step) -> Bool {
    switch step {
    case .send(let count):
      guard !wantsEnd else { return true }
      total += count
      push()
    case .sendUrgent:
      guard !wantsEnd else { return true }
      if stream.urgentAt.map({ $0 < stream.readCount }) ?? true {
        stream.urgentAt = total
        sim.reach(.urgentSent)
      }
      total += 1
      push()
    case .pause(let span):
      isPausing = true
      sim.after(span) { [self] in
        isPausing = false
        proceed()
      }
    case .awaitBytes(let count): return read >= count || sawEnd
    case .awaitEnd: return sawEnd
    case .end: end()
    case .close: close()
    case .reset: reset()
    case .vanish:
      isVanished = true
      vanishedAt = sim.now
      stream.watchTime()
    case .read(let new):
      reading = new
      readMore()
    case .echo:
      echoes = true
      if !wantsEnd { total += read }
      push()
      if sawEnd { end() }
    }
    return true
  }
}

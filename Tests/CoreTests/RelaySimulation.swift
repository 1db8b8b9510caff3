// Drives a relay over the simulated kernel, as the daemon drives it over the real one, and checks
// what must hold whatever happens. A mutant is a driver with one mistake in it.
import Core

/// One mistake each, made by forwarders that people use.
enum Mutant: CaseIterable {
  /// Fills a pipe that still holds bytes: its slots run out, and the socket seems empty.
  case fillsAPipeThatIsNotEmpty
  /// Takes a splice of nothing for the end of the stream.
  case believesASpliceOfNothing
  /// Ends the stream in order after its sender has reset it.
  case endsInOrderAfterAReset
  /// Forgets what a short send left over.
  case dropsTheRestOfAShortSend
  /// Takes one event for both ends.
  case losesAnEdge
}

struct RelaySimulation {
  private static let slots = 16

  private var random: SeededGenerator
  private let mutant: Mutant?
  private let rules: FlowRules
  private var relay = Relay()
  private var turn = Relay.Turn(FlowRules())
  private var client: SimulatedSocket
  private var upstream: SimulatedSocket
  /// The sources whose direction has a pipe.
  private var lent: [End] = []
  /// Bytes that the mutant left in a pipe, one to a slot.
  private var leftInPipe = 0
  private var believesEnd = false
  private var hasTimer = false
  private var endsByClosing = false
  /// Whose bytes lie in the worker's buffer, and how many.
  private var buffered: (source: End, count: Int)?

  init(seed: UInt64, transfer: Settings.TransferPolicy, mutant: Mutant? = nil) {
    var random = SeededGenerator(seed: seed)
    self.mutant = mutant
    var rules = FlowRules()
    rules.transfer = transfer
    rules.bufferBytes = 64
    rules.fillBytes = 512
    rules.turnBytes = 1024
    rules.smallFillBytes = 32
    self.rules = rules
    client = Self.socket(&random)
    upstream = Self.socket(&random)
    self.random = random
  }

  private static func socket(_ random: inout SeededGenerator) -> SimulatedSocket {
    let planned = Int.random(in: 0...6000, using: &random)
    let isUrgent = Int.random(in: 0..<4, using: &random) == 0 && planned > 1
    return SimulatedSocket(
      planned: planned, endsByReset: Int.random(in: 0..<4, using: &random) == 0,
      urgentAt: isUrgent ? Int.random(in: 1..<planned, using: &random) : nil,
      room: Int.random(in: 1...300, using: &random))
  }

  // MARK: The run

  /// To the end of the connection.
  mutating func run() throws {
    for _ in 0..<100_000 {
      if chance(3) { worldMoves() }
      tellEdges()
      if try takeTurn() { return }
      if !worldCanMove && !hasEdges && !hasTimer {
        throw SimulationFailure(text: "stalled: \(state)")
      }
      worldMoves()
    }
    throw SimulationFailure(text: "no end: \(state)")
  }

  /// True when the connection is closed.
  private mutating func takeTurn() throws -> Bool {
    turn = Relay.Turn(rules)
    hasTimer = false
    for end in [End.client, .upstream] { try passMessage(from: end) }
    for _ in 0..<10_000 {
      let next = relay.next(rules, turn, everyByte: false)
      if endsByClosing, next != .close(resets: false) {
        throw SimulationFailure(text: "an end is held back: \(state)")
      }
      switch next {
      case .move(let source, let step): try perform(step, from: source)
      case .takeError(let end):
        let hasError = self[end].resetArrived && !self[end].errorTaken
        self[end].errorTaken = self[end].errorTaken || hasError
        if hasError { dropWhatIsFor(end) }
        relay.recordError(of: end, hasError ? .reset : nil)
      case .checkDelivery(let end):
        relay.recordDelivery(to: end, isComplete: self[end].unacknowledged == 0)
      case .awaitDelivery:
        relay.recheckDelivery()
        hasTimer = true
        return false
      case .close(let resets):
        try check(resets: resets)
        return true
      case .yield, .wait: return false
      }
      if chance(4) { worldMoves() }
    }
    throw SimulationFailure(text: "spins: \(state)")
  }

  /// As the daemon has it: one buffer for both directions.
  private mutating func passMessage(from source: End) throws {
    guard relay.canPass(from: source, rules) else { return }
    let limit = Int(rules.bufferBytes)
    let received = try receive(limit, from: source)
    guard case .moved(let count) = received, count < limit else {
      return report(received, .receive(limit: limit), source, failing: source)
    }
    let sent = self[source.other].send(count)
    if sent == .moved(count) {
      buffered = nil
      return relay.passed(count, from: source)
    }
    report(received, .receive(limit: limit), source, failing: source)
    report(sent, .send(offset: 0, count: count, endFollows: false), source, failing: source.other)
  }

  private mutating func perform(_ step: Flow.Step, from source: End) throws {
    switch step {
    case .receive(let limit):
      let isBelieved = believesEnd
      believesEnd = false
      let result = isBelieved ? .ended : try receive(limit, from: source)
      report(result, step, source, failing: source)
    case .fillPipe(let limit):
      let result = self[source].fill(
        limit, slots: max(0, Self.slots - leftInPipe), urgentReadsNothing: chance(2))
      if result == .ended && mutant == .believesASpliceOfNothing { believesEnd = true }
      report(result, step, source, failing: source)
    case .send(_, let count, _), .sendStash(_, let count): deliver(count, step, source)
    case .drainPipe(let count): drain(count, step, source)
    case .endSending:
      if relay.endsByClosing(from: source, everyByte: false) {
        endsByClosing = true
        relay.record(.done, of: step, from: source, rules, &turn)
      } else if self[source.other].resetArrived {
        dropWhatIsFor(source.other)
        relay.fail(source.other, .reset)
      } else {
        self[source.other].finSent = true
        relay.record(.done, of: step, from: source, rules, &turn)
      }
    case .borrowPipe:
      let isRefused = chance(5)
      if !isRefused { lent.append(source) }
      relay.record(isRefused ? .refused : .done, of: step, from: source, rules, &turn)
    case .returnPipe, .discard:
      lent.removeAll { $0 == source }
      if step == .discard && buffered?.source == source { buffered = nil }
      relay.record(.done, of: step, from: source, rules, &turn)
    case .stash:
      buffered = nil
      relay.record(.done, of: step, from: source, rules, &turn)
    case .wait, .yield: throw SimulationFailure(text: "not a step to perform")
    }
  }

  private mutating func receive(_ limit: Int, from source: End) throws -> SimulatedResult {
    if buffered != nil { throw SimulationFailure(text: "the buffer is overwritten: \(state)") }
    let result = self[source].receive(limit)
    if case .moved(let count) = result { buffered = (source, count) }
    return result
  }

  /// Nobody will read it: the buffer may be used again before it is told to be discarded.
  private mutating func dropWhatIsFor(_ end: End) {
    if buffered?.source == end.other { buffered = nil }
  }

  private mutating func deliver(_ count: Int, _ step: Flow.Step, _ source: End) {
    var result = self[source.other].send(count)
    if mutant == .dropsTheRestOfAShortSend, case .moved = result { result = .moved(count) }
    if case .moved(count) = result, case .send = step { buffered = nil }
    report(result, step, source, failing: source.other)
  }

  private mutating func drain(_ count: Int, _ step: Flow.Step, _ source: End) {
    // A splice may come out short without the socket being full.
    let asked = chance(4) ? Int.random(in: 1...count, using: &random) : count
    let result = self[source.other].send(asked)
    if mutant == .fillsAPipeThatIsNotEmpty, case .moved(let moved) = result, moved < count {
      leftInPipe += count - moved
      report(.moved(count), step, source, failing: source.other)
    } else {
      report(result, step, source, failing: source.other)
    }
  }

  private mutating func report(
    _ result: SimulatedResult, _ step: Flow.Step, _ source: End, failing: End
  ) {
    switch result {
    case .moved(let count): relay.record(.moved(count), of: step, from: source, rules, &turn)
    case .ended: relay.record(.ended, of: step, from: source, rules, &turn)
    case .wouldBlock: relay.record(.wouldBlock, of: step, from: source, rules, &turn)
    case .failed:
      if mutant == .endsInOrderAfterAReset, failing == source, case .receive = step {
        relay.record(.ended, of: step, from: source, rules, &turn)
      } else {
        dropWhatIsFor(failing)
        relay.fail(failing, .reset)
      }
    }
  }

  // MARK: The world

  private var worldCanMove: Bool {
    [client, upstream].contains { !$0.peerIsDone || $0.unacknowledged > 0 && !$0.resetArrived }
  }

  private var hasEdges: Bool { client.pending != .init() || upstream.pending != .init() }

  private mutating func worldMoves() {
    let end: End = chance(2) ? .client : .upstream
    if !self[end].peerIsDone && chance(2) {
      if self[end].arrived < self[end].planned {
        let most = min(chance(2) ? 3 : 400, self[end].planned - self[end].arrived)
        self[end].arrive(Int.random(in: 1...most, using: &random))
      } else {
        self[end].end()
      }
    } else if self[end].unacknowledged > 0 && !self[end].resetArrived {
      self[end].acknowledge(Int.random(in: 1...self[end].unacknowledged, using: &random))
    }
    // Resets do not wait for the last byte.
    if self[end].endsByReset && !self[end].peerIsDone && chance(40) {
      self[end].planned = self[end].arrived
      self[end].end()
    }
  }

  private mutating func tellEdges() {
    for end in [End.client, .upstream] where self[end].pending != .init() {
      let edges = self[end].pending
      self[end].pending = .init()
      if mutant == .losesAnEdge && end == .upstream && chance(10) { continue }
      relay.note(
        end, readable: edges.readable, writable: edges.writable, ended: edges.ended,
        urgent: edges.urgent, error: edges.error)
    }
  }

  // MARK: What must hold

  private func check(resets: Bool) throws {
    if !lent.isEmpty { throw SimulationFailure(text: "a pipe is not back: \(state)") }
    for end in [End.client, .upstream] {
      let (source, target) = (self[end], self[end.other])
      let isWhole = source.finArrived && target.written == source.planned
      if target.written > source.read {
        throw SimulationFailure(text: "bytes out of nowhere: \(state)")
      }
      if target.finSent && !isWhole { throw SimulationFailure(text: "cut off in order: \(state)") }
      if target.resetArrived { continue }
      if target.written < source.arrived {
        throw SimulationFailure(text: "not delivered to a living reader: \(state)")
      }
      if !isWhole && !resets { throw SimulationFailure(text: "not told by a reset: \(state)") }
    }
  }

  private var state: String { "client \(client), upstream \(upstream), pipes \(lent)" }

  private subscript(end: End) -> SimulatedSocket {
    get { end == .client ? client : upstream }
    set { if end == .client { client = newValue } else { upstream = newValue } }
  }

  /// One in `count`.
  private mutating func chance(_ count: Int) -> Bool {
    Int.random(in: 0..<count, using: &random) == 0
  }
}

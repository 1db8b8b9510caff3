// Both directions of an established connection: which step is next, how it ends, and who is told
// what. Makes no call; one direction's own rules are in Flow.swift.

/// One of the two peers of a connection.
public enum End: UInt8, Sendable {
  case client, upstream

  public var other: End { self == .client ? .upstream : .client }
}

/// What is wrong with an end's socket.
public enum EndFailure: UInt8, Sendable {
  /// ECONNRESET, EPIPE.
  case reset
  /// ETIMEDOUT and what the network reports of an unreachable host: nobody answers.
  case vanished
  case error
}

/// The state of a connection from the moment the target answers.
public struct Relay: Sendable {
  public enum Step: Equatable, Sendable {
    /// Bytes from `source` on their way to the other end.
    case move(from: End, Flow.Step)
    /// The socket has an error to tell (SO_ERROR).
    case takeError(End)
    /// Has this end acknowledged all that it was sent (SIOCOUTQ)?
    case checkDelivery(to: End)
    /// Ask again in a while whether all has been delivered.
    case awaitDelivery
    /// In order, or, unless all went well, by a reset of both ends.
    case close(resets: Bool)
    case wait
    case yield
  }

  /// Who ended the connection, and how.
  public struct Verdict: Equatable, Sendable {
    public var endedBy: EndedBy
    public var reason: EndReason
  }

  /// Above this an end that closed early may still be reading when the last byte is with its
  /// kernel. Less fits into any receive window, and a short connection is spared the question.
  static let checkedAboveBytes: UInt64 = 32 * 1024

  /// How much each direction may still move in this turn.
  public struct Turn: Sendable {
    var toUpstream: Int32
    var toClient: Int32

    public init(_ rules: FlowRules) { (toUpstream, toClient) = (rules.turnBytes, rules.turnBytes) }
  }

  private var toUpstream = Flow()
  private var toClient = Flow()
  private var clientHasError = false
  private var upstreamHasError = false
  /// What ended first, or failed first.
  private var verdict: Verdict?
  private var failedEnd: End?
  /// The sidecar has ended it: nothing is passed on any more.
  public private(set) var wasAborted = false
  private var clientDelivery = Delivery.unasked
  private var upstreamDelivery = Delivery.unasked

  private enum Delivery: UInt8 { case unasked, pending, complete }

  public init() {}

  public var toUpstreamBytes: UInt64 { toUpstream.deliveredBytes }
  public var toClientBytes: UInt64 { toClient.deliveredBytes }
  /// The client has sent something, or has ended, or is gone.
  public var clientHasStirred: Bool { toUpstream.mayRead }
  public var clientMayHaveEnded: Bool { toUpstream.readsToTheEnd }
  /// True once an end has failed: the other is given a bounded time to take what is held for it.
  public var hasFailed: Bool { failedEnd != nil }
  /// Both directions are done; what is left is for the peers' kernels to acknowledge.
  public var isDelivering: Bool { toUpstream.isReleased && toClient.isReleased }

  /// An end has not taken all that there was for it.
  public var waitsToSend: Bool { toUpstream.waitsToSend || toClient.waitsToSend }
  public func waitsToSend(to end: End) -> Bool {
    end == .client ? toClient.waitsToSend : toUpstream.waitsToSend
  }

  /// Who ended it and how, once something has ended.
  public var ending: Verdict { verdict ?? Verdict(endedBy: .sidecar, reason: .error) }

  /// Whether the direction from `source` still holds bytes in its stash.
  public func holdsStash(from source: End) -> Bool {
    source == .client ? toUpstream.holdsStash : toClient.holdsStash
  }

  /// How it looks from outside.
  public var viewState: ConnectionView.State {
    if failedEnd != nil || wasAborted { return .ending }
    switch (toUpstream.isOver, toClient.isOver) {
    case (false, false): return .open
    case (true, false): return .clientEnded
    case (false, true): return .targetEnded
    case (true, true): return .ending
    }
  }

  // MARK: What happened

  /// The most frequent event.
  public mutating func noteReadable(_ end: End) {
    withFlow(from: end) { $0.sourceMayRead(toTheEnd: false, isUrgent: false) }
  }

  /// An event: `end` may be readable, writable, ended or failed.
  public mutating func note(
    _ end: End, readable: Bool, writable: Bool, ended: Bool, urgent: Bool, error: Bool
  ) {
    withFlow(from: end) { flow in
      // An urgent byte at the front is not told of as readable before SO_OOBINLINE is set.
      if readable || urgent || ended || error {
        flow.sourceMayRead(toTheEnd: ended || error, isUrgent: urgent)
      }
    }
    withFlow(from: end.other) { flow in
      if writable || ended || error { flow.targetMayWrite() }
    }
    guard error && failedEnd != end else { return }
    if end == .client { clientHasError = true } else { upstreamHasError = true }
  }

  /// A call on `end`'s socket failed: it takes and gives no more, except what it had sent before.
  public mutating func fail(_ end: End, _ failure: EndFailure) {
    withFlow(from: end) { $0.sourceHasFailed() }
    withFlow(from: end.other) { $0.breakOff() }
    guard failedEnd == nil else {
      if failedEnd != end { abandon() }
      return
    }
    failedEnd = end
    verdict = Verdict(endedBy: end == .client ? .client : .target, reason: failure.reason)
  }

  /// The sidecar itself ends the connection: both ends are reset, whatever is held.
  public mutating func abort(_ reason: EndReason) {
    if failedEnd == nil { verdict = Verdict(endedBy: .sidecar, reason: reason) }
    abandon()
  }

  // MARK: The common case

  /// A message from this end may be passed on through the buffer with one receive and one send, of
  /// which `passed` tells if all went well; else each is recorded as the step that it was.
  public func canPass(from source: End, _ rules: FlowRules) -> Bool {
    switch source {
    case .client: toUpstream.canPass(rules)
    // The client's direction comes first: the buffer is not used for both at a time.
    case .upstream: toClient.canPass(rules) && toUpstream.isAtRest
    }
  }

  public mutating func passed(_ count: Int, from source: End) {
    withFlow(from: source) { $0.passed(count) }
  }

  /// Nothing is held, and both directions are open: it could end in order right now.
  public var isAtRest: Bool { toUpstream.isAtRest && toClient.isAtRest }

  /// The sidecar itself ends a connection at rest: both ends read an orderly end.
  public mutating func finish(_ reason: EndReason) {
    precondition(isAtRest, "bytes would be lost")
    verdict = Verdict(endedBy: .sidecar, reason: reason)
    toUpstream.breakOff()
    toClient.breakOff()
  }

  private mutating func abandon() {
    wasAborted = true
    toUpstream.breakOff()
    toClient.breakOff()
  }

  // MARK: The next step

  /// `everyByte` asks for acknowledgement of the last byte whatever the amount: the process is
  /// about to end, and its network with it.
  public mutating func next(_ rules: FlowRules, _ turn: Turn, everyByte: Bool) -> Step {
    if clientHasError { return .takeError(.client) }
    if upstreamHasError { return .takeError(.upstream) }
    let clientStep = toUpstream.next(rules, left: turn.toUpstream)
    if clientStep != .wait && clientStep != .yield { return .move(from: .client, clientStep) }
    let upstreamStep = toClient.next(rules, left: turn.toClient)
    if upstreamStep != .wait && upstreamStep != .yield {
      return .move(from: .upstream, upstreamStep)
    }
    if toUpstream.isReleased && toClient.isReleased { return closingStep(everyByte) }
    return clientStep == .yield || upstreamStep == .yield ? .yield : .wait
  }

  private mutating func closingStep(_ everyByte: Bool) -> Step {
    if !wasAborted {
      for end in [End.client, .upstream] where mustCheck(end, everyByte) {
        return .checkDelivery(to: end)
      }
      if clientDelivery == .pending || upstreamDelivery == .pending { return .awaitDelivery }
    }
    // The end that failed too: one that has vanished may come back, and where a call had no memory
    // the connection lives. Neither must take what it got for the whole.
    return .close(resets: failedEnd != nil || wasAborted)
  }

  /// True when closing both sockets, which comes next, ends this direction in order: the other has
  /// ended, and nobody is asked before whether all has been delivered.
  public func endsByClosing(from source: End, everyByte: Bool) -> Bool {
    let other = source == .client ? toClient : toUpstream
    return other.progress == .finished && !mustCheck(.client, everyByte)
      && !mustCheck(.upstream, everyByte)
  }

  private func mustCheck(_ end: End, _ everyByte: Bool) -> Bool {
    let state = end == .client ? clientDelivery : upstreamDelivery
    guard state == .unasked && failedEnd != end else { return false }
    let sent = end == .client ? toClientBytes : toUpstreamBytes
    // A reset throws away what the kernel still has to send, so it waits for the last byte.
    return sent > (failedEnd != nil || everyByte ? 0 : Self.checkedAboveBytes)
  }

  /// The time to ask again has come.
  public mutating func recheckDelivery() {
    if clientDelivery == .pending { clientDelivery = .unasked }
    if upstreamDelivery == .pending { upstreamDelivery = .unasked }
  }

  // MARK: Outcomes

  public mutating func record(
    _ outcome: Flow.Outcome, of step: Flow.Step, from source: End, _ rules: FlowRules,
    _ turn: inout Turn
  ) {
    switch source {
    case .client: toUpstream.record(outcome, of: step, rules, left: &turn.toUpstream)
    case .upstream: toClient.record(outcome, of: step, rules, left: &turn.toClient)
    }
    if outcome == .ended && verdict == nil, case .receive = step {
      verdict = Verdict(endedBy: source == .client ? .client : .target, reason: .closed)
    }
  }

  /// What `takeError` found; nil when there was no error after all.
  public mutating func recordError(of end: End, _ failure: EndFailure?) {
    if end == .client { clientHasError = false } else { upstreamHasError = false }
    if let failure { fail(end, failure) }
  }

  public mutating func recordDelivery(to end: End, isComplete: Bool) {
    let state = isComplete ? Delivery.complete : .pending
    if end == .client { clientDelivery = state } else { upstreamDelivery = state }
  }

  @inline(__always)
  private mutating func withFlow(from source: End, _ body: (inout Flow) -> Void) {
    switch source {
    case .client: body(&toUpstream)
    case .upstream: body(&toClient)
    }
  }
}

extension EndFailure {
  fileprivate var reason: EndReason {
    switch self {
    case .reset: .reset
    case .vanished: .vanished
    case .error: .error
    }
  }
}

// One direction of a connection: what to do next with its bytes. Hands out steps and records what
// came of them; makes no call. Where the bytes lie (buffer, stash, pipe) the performer knows.

/// The constants a flow decides by.
public struct FlowRules: Sendable {
  /// One read of the copying way: the size of a worker's buffer. Above the 16 KiB in which
  /// databases send rows and small enough to stay in the processor's nearest caches.
  public var bufferBytes: Int32 = 32 * 1024
  /// One fill of a pipe: its capacity.
  public var pipeBytes: Int32 = 256 * 1024
  /// What one direction may move before the others have their turn.
  public var turnBytes: Int32 = 1024 * 1024
  /// Full reads in a row that make a flow bulk, as HAProxy has it.
  public var promoteAfter: UInt8 = 3
  /// Fills in a row below `smallFillBytes` that make it small again.
  public var demoteAfter: UInt8 = 2
  /// Below this a copy is cheaper than lending a pipe.
  public var smallFillBytes: Int32 = 16 * 1024
  public var transfer = Settings.TransferPolicy.automatic

  public init() {}
}

/// The state of one direction.
public struct Flow: Sendable {
  public enum Step: Equatable, Sendable {
    /// Read from the source into the worker's buffer.
    case receive(limit: Int)
    /// Write to the target from the worker's buffer.
    case send(offset: Int, count: Int)
    /// Keep this part of the worker's buffer: others need the buffer.
    case stash(offset: Int, count: Int)
    case sendStash(offset: Int, count: Int)
    case borrowPipe
    /// Splice from the source into the empty pipe.
    case fillPipe(limit: Int)
    /// Splice exactly what the pipe holds into the target.
    case drainPipe(count: Int)
    /// The pipe is empty: others may have it.
    case returnPipe
    /// Nobody will read what is held: free the stash, close the pipe.
    case discard
    /// Tell the target that no more comes.
    case endSending
    /// Nothing to do before the next event.
    case wait
    /// More to do, but others first.
    case yield
  }

  /// What a step came to.
  public enum Outcome: Equatable, Sendable {
    case moved(Int)
    case ended
    case wouldBlock
    /// The step that needs no answer is done.
    case done
    /// No pipe is to be had.
    case refused
  }

  enum Progress: UInt8 {
    case open
    /// Every byte and the end of the stream are with the target's kernel.
    case finished
    /// Bytes were lost or may have been: the target must see a reset, never an end.
    case broken
  }

  enum Hold: UInt8 { case nothing, buffer, stash, pipe }

  private(set) var progress = Progress.open
  private var hold = Hold.nothing
  private var isSplicing = false
  // Each cleared by a call that would have blocked, set by an event.
  private var mayRead = false
  private var mayWrite = true
  // A read that came out short proves nothing: the end or an urgent mark lies behind it.
  private var readsToTheEnd = false
  // An urgent mark stops splice(2); recv(2) passes it.
  private var mustCopy = false
  // One recv(2) before the next splice: after a splice that read nothing, or a pipe refused.
  private var receivesNext = false
  private var sourceEnded = false
  private var sourceFailed = false
  /// Full reads, or small fills, in a row.
  private var streak: UInt8 = 0
  private var heldBytes: Int32 = 0
  private var heldOffset: Int32 = 0
  private var turnBytes: Int32 = 0
  /// Bytes that the target's kernel has taken.
  public private(set) var deliveredBytes: UInt64 = 0

  public init() {}

  var isOver: Bool { progress != .open }
  var isReleased: Bool { isOver && hold == .nothing }

  var waitsToSend: Bool { !mayWrite }

  var holdsStash: Bool { hold == .stash }

  /// Open, with nothing held and nothing known to be there to read.
  var isAtRest: Bool {
    progress == .open && hold == .nothing && heldBytes == 0 && !mayRead && !sourceEnded
      && !sourceFailed
  }

  mutating func beginTurn(_ rules: FlowRules) { turnBytes = rules.turnBytes }

  // MARK: Hints

  mutating func sourceMayRead(toTheEnd: Bool, isUrgent: Bool) {
    mayRead = true
    if toTheEnd { readsToTheEnd = true }
    if isUrgent {
      mustCopy = true
      readsToTheEnd = true
    }
  }

  mutating func targetMayWrite() { mayWrite = true }

  /// The source is gone, but what it sent before may still be read: up to an end that is none.
  mutating func sourceHasFailed() {
    // A second failure in place of bytes or the end: there is nothing more to read.
    if sourceFailed { sourceEnded = true }
    sourceFailed = true
    mustCopy = true
    sourceMayRead(toTheEnd: true, isUrgent: false)
  }

  /// The target takes no more: what is held has no reader.
  mutating func breakOff() {
    if progress == .open { progress = .broken }
  }

  // MARK: The next step

  mutating func next(_ rules: FlowRules) -> Step {
    guard progress == .open else { return releaseStep() }
    if heldBytes > 0 { return deliverStep() }
    if sourceEnded { return endStep() }
    guard mayRead && mayWrite && turnBytes > 0 else {
      guard hold == .nothing else { return .returnPipe }
      return mayRead && mayWrite ? .yield : .wait
    }
    if wantsPipe(rules) {
      return hold == .pipe ? .fillPipe(limit: Int(rules.pipeBytes)) : .borrowPipe
    }
    return hold == .pipe ? .returnPipe : .receive(limit: Int(rules.bufferBytes))
  }

  private func releaseStep() -> Step {
    switch hold {
    case .nothing: .wait
    case .pipe: heldBytes == 0 ? .returnPipe : .discard
    case .buffer, .stash: .discard
    }
  }

  private func deliverStep() -> Step {
    let (offset, count) = (Int(heldOffset), Int(heldBytes))
    switch hold {
    case .buffer:
      return mayWrite
        ? .send(offset: offset, count: count) : .stash(offset: offset, count: count)
    case .stash: return mayWrite ? .sendStash(offset: offset, count: count) : .wait
    case .pipe: return mayWrite ? .drainPipe(count: count) : .wait
    case .nothing: preconditionFailure("bytes are held nowhere")
    }
  }

  private mutating func endStep() -> Step {
    if hold == .pipe { return .returnPipe }
    guard sourceFailed else { return .endSending }
    progress = .broken
    return .wait
  }

  private mutating func wantsPipe(_ rules: FlowRules) -> Bool {
    guard !mustCopy && !receivesNext else { return false }
    switch rules.transfer {
    case .automatic:
      if !isSplicing && streak >= rules.promoteAfter {
        isSplicing = true
        streak = 0
      }
    case .splice: isSplicing = true
    case .copy: isSplicing = false
    }
    return isSplicing
  }

  // MARK: Outcomes

  mutating func record(_ outcome: Outcome, of step: Step, _ rules: FlowRules) {
    switch step {
    case .receive(let limit): received(outcome, limit: limit, rules)
    case .fillPipe: filled(outcome, rules)
    case .send(_, let count), .sendStash(_, let count), .drainPipe(let count):
      delivered(outcome, count: count)
    case .stash:
      hold = .stash
      heldOffset = 0
    case .borrowPipe: borrowed(outcome)
    case .returnPipe: hold = .nothing
    case .discard:
      hold = .nothing
      heldBytes = 0
    case .endSending: progress = .finished
    case .wait, .yield: break
    }
  }

  private mutating func received(_ outcome: Outcome, limit: Int, _ rules: FlowRules) {
    receivesNext = false
    switch outcome {
    case .moved(let count):
      take(count, into: .buffer)
      streak = count < limit ? 0 : min(streak + 1, rules.promoteAfter)
      if count < limit && !readsToTheEnd { mayRead = false }
    case .ended: sourceEnded = true
    case .wouldBlock:
      mayRead = false
      streak = 0
      if sourceFailed { sourceEnded = true }
    case .done, .refused: preconditionFailure("not an outcome of receiving")
    }
  }

  private mutating func filled(_ outcome: Outcome, _ rules: FlowRules) {
    switch outcome {
    case .moved(let count):
      // Short or not: a pipe fills by slots, so only a splice into an empty pipe that would block
      // says that the socket is empty.
      take(count, into: .pipe)
      streak = count < Int(rules.smallFillBytes) ? streak + 1 : 0
      if streak >= rules.demoteAfter { copyNext() }
    case .ended: copyNext()  // only recv(2) proves the end of the stream
    case .wouldBlock: mayRead = false
    case .done, .refused: preconditionFailure("not an outcome of filling")
    }
  }

  private mutating func borrowed(_ outcome: Outcome) {
    if outcome == .done { hold = .pipe } else { copyNext() }
  }

  private mutating func copyNext() {
    isSplicing = false
    receivesNext = true
    streak = 0
  }

  private mutating func delivered(_ outcome: Outcome, count: Int) {
    switch outcome {
    case .moved(let moved):
      precondition(moved <= count && moved <= Int(heldBytes), "delivered more than was held")
      heldBytes -= Int32(moved)
      heldOffset += Int32(moved)
      deliveredBytes += UInt64(moved)
      if heldBytes == 0 && hold != .pipe { hold = .nothing }
      // A short send is a full socket (epoll(7)); a short splice may have other reasons.
      if moved < count && hold != .pipe { mayWrite = false }
    case .wouldBlock: mayWrite = false
    case .ended, .done, .refused: preconditionFailure("not an outcome of delivering")
    }
  }

  private mutating func take(_ count: Int, into place: Hold) {
    precondition(heldBytes == 0, "only an empty buffer or pipe is filled")
    hold = place
    heldBytes = Int32(count)
    heldOffset = 0
    turnBytes = max(0, turnBytes - Int32(count))
  }
}

// One direction of a connection: what to do next with its bytes. Hands out steps and records what
// came of them; makes no call. Where the bytes lie (buffer, stash, pipe) the performer knows.

/// The state of one direction.
public struct Flow: Sendable {
  public enum Step: Equatable, Sendable {
    /// Read from the source into the worker's buffer.
    case receive(limit: Int)
    /// Write to the target from the worker's buffer. When the end follows, as far as is known, the
    /// last bytes may wait for it, to go in one segment.
    case send(offset: Int, count: Int, endFollows: Bool)
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

  private struct Flags: OptionSet {
    let rawValue: UInt8
    // Each cleared by a call that would have blocked, set by an event.
    static let mayRead = Flags(rawValue: 1)
    static let mayWrite = Flags(rawValue: 2)
    /// A read that came out short proves nothing: the end or an urgent mark lies behind it.
    static let readsToTheEnd = Flags(rawValue: 4)
    /// An urgent mark stops splice(2); recv(2) passes it.
    static let mustCopy = Flags(rawValue: 8)
    /// One recv(2) before the next splice: after one that read nothing, or a pipe refused.
    static let receivesNext = Flags(rawValue: 16)
    static let isSplicing = Flags(rawValue: 32)
    static let sourceEnded = Flags(rawValue: 64)
    static let sourceFailed = Flags(rawValue: 128)
  }

  /// Bytes that the target's kernel has taken.
  public private(set) var deliveredBytes: UInt64 = 0
  private var heldBytes: Int32 = 0
  private var heldOffset: Int32 = 0
  private var flags: Flags = .mayWrite
  private(set) var progress = Progress.open
  private var hold = Hold.nothing
  /// Full reads less short ones, or small fills in a row.
  private var streak: UInt8 = 0

  public init() {}

  var isOver: Bool { progress != .open }
  var isReleased: Bool { isOver && hold == .nothing }

  var mayRead: Bool { flags.contains(.mayRead) }
  var readsToTheEnd: Bool { flags.contains(.readsToTheEnd) }
  var waitsToSend: Bool { !flags.contains(.mayWrite) }

  var holdsStash: Bool { hold == .stash }

  /// Open, with nothing held and nothing known to be there to read.
  var isAtRest: Bool {
    progress == .open && hold == .nothing
      && flags.isDisjoint(with: [.mayRead, .sourceEnded, .sourceFailed])
  }

  // MARK: The common case

  /// There is something to read, and nothing asks for more than one receive and one send.
  func canPass(_ rules: FlowRules) -> Bool {
    flags == [.mayRead, .mayWrite] && hold == .nothing && progress == .open
      && rules.transfer != .splice
  }

  /// A message was received, in less than a buffer, and sent: short of nothing.
  mutating func passed(_ count: Int) {
    flags = .mayWrite
    countShortRead()
    deliveredBytes += UInt64(count)
  }

  // MARK: Hints

  mutating func sourceMayRead(toTheEnd: Bool, isUrgent: Bool) {
    flags.insert(.mayRead)
    if toTheEnd { flags.insert(.readsToTheEnd) }
    if isUrgent { flags.formUnion([.mustCopy, .readsToTheEnd]) }
  }

  mutating func targetMayWrite() { flags.insert(.mayWrite) }

  /// The source is gone, but what it sent before may still be read: up to an end that is none.
  mutating func sourceHasFailed() {
    // A second failure in place of bytes or the end: there is nothing more to read.
    if flags.contains(.sourceFailed) { flags.insert(.sourceEnded) }
    flags.formUnion([.sourceFailed, .mustCopy])
    sourceMayRead(toTheEnd: true, isUrgent: false)
  }

  /// The target takes no more: what is held has no reader.
  mutating func breakOff() {
    if progress == .open { progress = .broken }
  }

  // MARK: The next step

  /// `left`: how much it may still move in this turn.
  mutating func next(_ rules: FlowRules, left: Int32) -> Step {
    guard progress == .open else { return releaseStep() }
    if heldBytes > 0 { return deliverStep() }
    if flags.contains(.sourceEnded) { return endStep() }
    let isReady = flags.isSuperset(of: [.mayRead, .mayWrite])
    guard isReady && left > 0 else {
      guard hold == .nothing else { return .returnPipe }
      return isReady ? .yield : .wait
    }
    if wantsPipe(rules) {
      return hold == .pipe ? .fillPipe(limit: Int(rules.fillBytes)) : .borrowPipe
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
    let mayWrite = flags.contains(.mayWrite)
    switch hold {
    case .buffer:
      return mayWrite
        ? .send(offset: offset, count: count, endFollows: endFollows)
        : .stash(offset: offset, count: count)
    case .stash: return mayWrite ? .sendStash(offset: offset, count: count) : .wait
    case .pipe: return mayWrite ? .drainPipe(count: count) : .wait
    case .nothing: preconditionFailure("bytes are held nowhere")
    }
  }

  /// The source has told of its end: the next read brings more bytes or that end, and never has to
  /// wait, unless for an urgent mark.
  private var endFollows: Bool {
    flags.contains(.readsToTheEnd) && flags.isDisjoint(with: [.mustCopy, .sourceFailed])
  }

  private mutating func endStep() -> Step {
    if hold == .pipe { return .returnPipe }
    guard flags.contains(.sourceFailed) else { return .endSending }
    progress = .broken
    return .wait
  }

  private mutating func wantsPipe(_ rules: FlowRules) -> Bool {
    guard flags.isDisjoint(with: [.mustCopy, .receivesNext]) else { return false }
    switch rules.transfer {
    case .automatic:
      if !flags.contains(.isSplicing) && streak >= rules.promoteAfter {
        flags.insert(.isSplicing)
        streak = 0
      }
    case .splice: flags.insert(.isSplicing)
    case .copy: flags.remove(.isSplicing)
    }
    return flags.contains(.isSplicing)
  }

  // MARK: Outcomes

  mutating func record(
    _ outcome: Outcome, of step: Step, _ rules: FlowRules, left: inout Int32
  ) {
    switch step {
    case .receive(let limit): received(outcome, limit: limit, rules, &left)
    case .fillPipe: filled(outcome, rules, &left)
    case .send(_, let count, _), .sendStash(_, let count), .drainPipe(let count):
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

  private mutating func received(
    _ outcome: Outcome, limit: Int, _ rules: FlowRules, _ left: inout Int32
  ) {
    flags.remove(.receivesNext)
    switch outcome {
    case .moved(let count):
      take(count, into: .buffer, &left)
      guard count < limit else { return streak = min(streak + 1, rules.promoteAfter) }
      countShortRead()
      if !flags.contains(.readsToTheEnd) { flags.remove(.mayRead) }
    case .ended: flags.insert(.sourceEnded)
    case .wouldBlock:
      // No end after all, nor a mark: a source that has one never blocks.
      flags.subtract([.mayRead, .readsToTheEnd])
      if flags.contains(.sourceFailed) { flags.insert(.sourceEnded) }
    case .done, .refused: preconditionFailure("not an outcome of receiving")
    }
  }

  /// It takes one full read back, not all of them: whoever is served fast finds some short ones in
  /// any stream.
  private mutating func countShortRead() {
    if streak > 0 { streak -= 1 }
  }

  private mutating func filled(_ outcome: Outcome, _ rules: FlowRules, _ left: inout Int32) {
    switch outcome {
    case .moved(let count):
      // Short or not: a pipe fills by slots, so only a splice into an empty pipe that would block
      // says that the socket is empty.
      take(count, into: .pipe, &left)
      streak = count < Int(rules.smallFillBytes) ? streak + 1 : 0
      if streak >= rules.demoteAfter { copyNext() }
    case .ended: copyNext()  // only recv(2) proves the end of the stream
    case .wouldBlock: flags.remove(.mayRead)
    case .done, .refused: preconditionFailure("not an outcome of filling")
    }
  }

  private mutating func borrowed(_ outcome: Outcome) {
    if outcome == .done { hold = .pipe } else { copyNext() }
  }

  private mutating func copyNext() {
    flags.remove(.isSplicing)
    flags.insert(.receivesNext)
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
      if moved < count && hold != .pipe { flags.remove(.mayWrite) }
    case .wouldBlock: flags.remove(.mayWrite)
    case .ended, .done, .refused: preconditionFailure("not an outcome of delivering")
    }
  }

  private mutating func take(_ count: Int, into place: Hold, _ left: inout Int32) {
    precondition(heldBytes == 0, "only an empty buffer or pipe is filled")
    hold = place
    heldBytes = Int32(count)
    heldOffset = 0
    left -= Int32(count)
  }
}

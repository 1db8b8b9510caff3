// The race for one client: which address to try when, until one answers or CONNECT_TIMEOUT is over
// (RFC 8305). When all have failed or hang, it asks whether the name leads elsewhere by now. Makes
// no call; `now` is an argument.

/// The state of connecting for one client.
public struct Race: Sendable {
  public enum Step: Equatable, Sendable {
    /// Begin an attempt, beside those that are under way.
    case connect(IPAddress)
    /// Call off the attempt that was begun first, to make room.
    case dropOldest
    /// Get an answer from a lookup that began at `since` or later, and `offer` it.
    case lookUp(since: Instant)
    case wait(until: Instant)
    case giveUp(Failure)
  }

  /// How long an attempt is alone before the next begins (RFC 8305, section 5).
  static let attemptDelay = Nanoseconds.milliseconds(250)
  /// Attempts under way at once: each costs a descriptor.
  public static let maxAttempts = 4
  /// An answer as young as this is not asked for again.
  static let youth = Nanoseconds.seconds(1)

  private let end: Instant
  private var candidates: [IPAddress]
  private var tried = 0
  private var underWay = 0
  private var nextAttempt: Instant
  private var failure: Failure?
  private var failedAt = Instant(nanoseconds: .min)
  /// When the lookup began that the newest answer is from. Never: addresses that need none.
  private var answerStartedAt: Instant
  private var asked: Instant?

  /// `addresses`, one at least, are in the order to try them in. `answerStartedAt` is when the
  /// lookup for them began, `.never` for addresses that are never looked up; `end`, when the client
  /// has waited for long enough.
  public init(addresses: [IPAddress], answerStartedAt: Instant, end: Instant, now: Instant) {
    candidates = addresses
    self.answerStartedAt = answerStartedAt
    self.end = end
    nextAttempt = now
  }

  public mutating func next(now: Instant) -> Step {
    guard now < end else { return .giveUp(underWay > 0 ? .timedOut : failure ?? .timedOut) }
    if tried < candidates.count {
      guard nextAttempt <= now else { return .wait(until: min(nextAttempt, end)) }
      if underWay == Self.maxAttempts {
        underWay -= 1
        return .dropOldest
      }
      return begin(now)
    }
    guard underWay > 0 else {
      guard let asked else { return lookUpOrGiveUp(now) }
      // Nothing is under way, and an answer will come.
      return answerStartedAt < asked ? .wait(until: end) : .giveUp(failure ?? .timedOut)
    }
    // What hangs may still answer; but the name may have moved by now.
    guard asked == nil, answerStartedAt != .never else { return .wait(until: end) }
    let due = max(nextAttempt, answerStartedAt + Self.youth)
    guard due <= now else { return .wait(until: min(due, end)) }
    // Younger than what is asked for again: else one answer could be taken without end.
    return lookUp(since: now - Self.youth + Nanoseconds(count: 1))
  }

  private mutating func begin(_ now: Instant) -> Step {
    // With many addresses or little time, each still gets its share.
    let share = Nanoseconds(count: (end - now).count / Int64(candidates.count - tried))
    nextAttempt = now + min(Self.attemptDelay, share)
    underWay += 1
    tried += 1
    return .connect(candidates[tried - 1])
  }

  /// All addresses have failed. Only a lookup that began after that tells whether the name leads
  /// elsewhere by now; it is waited for, as names are looked up once a second at most.
  private mutating func lookUpOrGiveUp(_ now: Instant) -> Step {
    guard answerStartedAt < failedAt else { return .giveUp(failure ?? .timedOut) }
    let due = answerStartedAt + Self.youth
    return due <= now ? lookUp(since: failedAt) : .wait(until: min(due, end))
  }

  private mutating func lookUp(since: Instant) -> Step {
    asked = since
    return .lookUp(since: since)
  }

  /// An attempt came to nothing: the next begins at once.
  public mutating func fail(_ failure: Failure, now: Instant) {
    underWay -= 1
    if Self.tells(failure, more: self.failure) { self.failure = failure }
    failedAt = now
    nextAttempt = now
  }

  /// Whether a failure is to be reported in place of an earlier one: the last is, but that there is
  /// no way to one family says little when the other's address has said something else.
  public static func tells(_ failure: Failure, more earlier: Failure?) -> Bool {
    earlier == nil || failure != .networkUnreachable
  }

  /// The attempt that was just begun could not be made for want of a descriptor: it is made again
  /// at `until`.
  public mutating func postpone(_ failure: Failure, until: Instant) {
    underWay -= 1
    tried -= 1
    self.failure = failure
    nextAttempt = until
  }

  /// An answer, from a lookup that began at `startedAt`. Addresses that were not tried yet are, at
  /// once; those that are not named any more are not. Empty: the lookup failed.
  public mutating func offer(_ addresses: [IPAddress], startedAt: Instant, now: Instant) {
    answerStartedAt = startedAt
    if let since = asked, since <= startedAt { asked = nil }
    guard !addresses.isEmpty else { return }
    candidates.removeLast(candidates.count - tried)
    let new = addresses.filter { !candidates.contains($0) }
    candidates += new
    if !new.isEmpty { nextAttempt = min(nextAttempt, now) }
  }
}

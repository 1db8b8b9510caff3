// What is known of a name at one moment, what there is to tell of it, and the times it is held for.
// How one comes to be: NameRecord.swift.

/// What a connection goes by.
public struct NameAnswer: Equatable, Sendable {
  /// Empty when there is a failure.
  public var addresses: [IPAddress] = []
  public var failure: Failure?
  /// In the order in which they were listed by a person, to be tried so.
  public var isListed = false
  /// The last good one, because no server answers.
  public var isStale = false
  /// When the lookup that it comes from began.
  public var startedAt = Instant(nanoseconds: .min)
  /// When to look again.
  public var freshUntil = Instant(nanoseconds: .min)
  /// Later than `freshUntil` for a stale answer: nobody waits while the servers are tried again.
  public var usableUntil = Instant(nanoseconds: .min)

  public init() {}

  /// Whether a new connection may use it, or its failure, without waiting.
  public func isUsable(now: Instant) -> Bool { now < usableUntil }
}

extension NameAnswer {
  /// The addresses of all families that were found, for as long as the first of them holds.
  init(_ lookup: Lookup) {
    startedAt = lookup.startedAt
    freshUntil = .never
    for family in Family.allCases {
      guard case .addresses(let found, let ttl)? = lookup.finding(of: family) else { continue }
      addresses += found
      let seconds = max(NameRules.leastTTL, min(Int64(ttl), NameRules.greatestTTL))
      freshUntil = min(freshUntil, lookup.foundAt(family) + .seconds(seconds))
    }
  }
}

/// What there is to tell people of a name.
public enum NameEvent: Equatable, Sendable {
  /// `before` is empty the first time. `unsaid` changes were not told, because there were many.
  case changed(from: [IPAddress], to: [IPAddress], unsaid: UInt64)
  /// No server answered: from now on the last good answer is used.
  case stale(since: Nanoseconds)
  case recovered
  /// A failure that new clients meet. `repeated` others like it were not told.
  case failed(Failure, repeated: UInt64)
}

public struct NameRules: Sendable {
  /// The most that a lookup may take: the rest of CONNECT_TIMEOUT is for connecting.
  public var lookupLimit: Nanoseconds
  public var staleLimit: Nanoseconds

  public init(connectTimeout: Nanoseconds, staleLimit: Nanoseconds) {
    lookupLimit = min(Nanoseconds(count: connectTimeout.count / 4 * 3), .seconds(10))
    self.staleLimit = staleLimit
  }

  /// Between the beginnings of two lookups: a least time to live, less the refresh before its end.
  static let leastInterval = Nanoseconds.milliseconds(800)
  /// The bounds of a time to live. Names are asked for once a second at most; and a day's time to
  /// live would hide a change for a day.
  static let leastTTL: Int64 = 1
  static let greatestTTL: Int64 = 300
  /// That something does not exist is asked again soon: somebody may be creating it.
  static let greatestNegativeTTL: Int64 = 15
  /// How long it holds that no server answers.
  static let failureTime = Nanoseconds.seconds(1)
  /// How often the servers are tried while the last good answer stands in, or after a failure for
  /// the connections that a change would end.
  static let staleRetry = Nanoseconds.seconds(5)
  /// What /etc/hosts says is read again after this.
  static let listedTime = Nanoseconds.seconds(5)
  /// How long the first family to be found waits for the other (RFC 8305, section 3).
  static let resolutionDelay = Nanoseconds.milliseconds(50)
  /// A lookup that takes longer is not waited for while there is a last good answer (RFC 8767,
  /// section 5: the client response timer).
  static let stalePatience = Nanoseconds.seconds(1)
  /// How often a lasting failure is told.
  static let sayInterval = Nanoseconds.seconds(10)
}

/// Keeps what is told of a name to a readable number of lines.
struct NameSaying: Sendable {
  /// Changes that are told at once; then one in `changeInterval`. The name of a group of readers
  /// changes with every answer, a writer's once in a failover.
  static let changes: Int64 = 5
  static let changeInterval = Nanoseconds.seconds(60)

  private var failure: Failure?
  private var sayAgain = Instant(nanoseconds: .min)
  private var repeated: UInt64 = 0
  private var unsaidChanges: UInt64 = 0
  private var changesEmptyAt = Instant(nanoseconds: .min / 2)

  /// How many like it were not told, when this one is to be.
  mutating func admit(_ new: Failure, _ now: Instant) -> UInt64? {
    if new == failure && now < sayAgain {
      repeated += 1
      return nil
    }
    defer { repeated = 0 }
    let count = new == failure ? repeated : 0
    failure = new
    sayAgain = now + NameRules.sayInterval
    return count
  }

  mutating func forgetFailure() {
    failure = nil
    repeated = 0
  }

  mutating func admitChange(_ now: Instant) -> UInt64? {
    let full = Nanoseconds(count: Self.changes * Self.changeInterval.count)
    if changesEmptyAt + full < now {
      changesEmptyAt = now - full
    }
    guard changesEmptyAt + Self.changeInterval <= now else {
      unsaidChanges += 1
      return nil
    }
    changesEmptyAt = changesEmptyAt + Self.changeInterval
    defer { unsaidChanges = 0 }
    return unsaidChanges
  }
}

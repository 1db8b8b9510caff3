// Folds identical warnings of failed connects: the first is logged at once, those that follow
// within a window are counted. Must not read a clock: `now` is an argument.

/// A table of the failures that were logged lately, one per worker.
public struct WarningFold {
  public enum Verdict: Equatable, Sendable {
    /// Log this one; `repeatedBefore` others were folded since the last line about it.
    case log(repeatedBefore: UInt64)
    /// Counted, not logged.
    case fold
  }

  /// How often a lasting failure shows in the log.
  public static let window = Nanoseconds.seconds(10)

  /// Ways to fail that are followed at once. There are fifteen kinds, and a target mostly fails in
  /// one way at a time; what finds no place is logged unfolded, so that nothing goes uncounted.
  static let capacity = 16

  private struct Entry {
    var forward: Int
    var failure: Failure
    var windowEnd: Instant
    var folded: UInt64
  }

  // Empty, without storage, until something fails.
  private var entries: [Entry] = []

  public init() {}

  /// Whether this failure of a connection through `forward` is to be logged.
  public mutating func admit(forward: Int, failure: Failure, now: Instant) -> Verdict {
    for index in entries.indices
    where entries[index].forward == forward && entries[index].failure == failure {
      if now < entries[index].windowEnd {
        entries[index].folded += 1
        return .fold
      }
      let repeated = entries[index].folded
      entries[index].folded = 0
      entries[index].windowEnd = now + Self.window
      return .log(repeatedBefore: repeated)
    }
    remember(forward: forward, failure: failure, now: now)
    return .log(repeatedBefore: 0)
  }

  /// When to call `expired(now:)`. Nil while nothing is folded: a quiet worker is not woken for it.
  public var nextDeadline: Instant? {
    var earliest: Instant?
    for entry in entries where entry.folded > 0 {
      if let known = earliest, known <= entry.windowEnd { continue }
      earliest = entry.windowEnd
    }
    return earliest
  }

  /// The next failure whose window ended with others folded, and how many; call it until nil.
  /// A new window begins, so a failure that lasts costs one line per window, not two.
  public mutating func expired(
    now: Instant
  ) -> (forward: Int, failure: Failure, repeated: UInt64)? {
    for index in entries.indices
    where entries[index].folded > 0 && entries[index].windowEnd <= now {
      let entry = entries[index]
      entries[index].folded = 0
      entries[index].windowEnd = now + Self.window
      return (entry.forward, entry.failure, entry.folded)
    }
    return nil
  }

  private mutating func remember(forward: Int, failure: Failure, now: Instant) {
    let entry = Entry(
      forward: forward, failure: failure, windowEnd: now + Self.window, folded: 0)
    for index in entries.indices
    where entries[index].folded == 0 && entries[index].windowEnd <= now {
      entries[index] = entry
      return
    }
    if entries.count < Self.capacity { entries.append(entry) }
  }
}

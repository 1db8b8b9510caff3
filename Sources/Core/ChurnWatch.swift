// Notices an application that opens a connection for each query: many connections a minute, most of
// them over at once. Counts what ends; `now` is an argument.

public struct ChurnWatch: Sendable {
  public struct Finding: Equatable, Sendable {
    public var perMinute: Int
    /// Half of the connections lived for less, in milliseconds.
    public var medianBelow: Int64
  }

  /// From five a second on, connecting is a database's main work.
  public static let manyPerMinute = 300
  /// Lives that are taken for short: a query's, or a few.
  static let shortLives: [Int64] = [10, 100, 1_000]

  private static let window = Nanoseconds.seconds(60)

  private var windowEnds = Instant(nanoseconds: .min)
  private var total = 0
  private var short = [0, 0, 0]

  public init() {}

  /// A connection has ended after `life`. Returns what the minute before was like, if it is worth
  /// telling; `share` is the part of all connections that is counted here.
  public mutating func end(after life: Nanoseconds, share: Int, now: Instant) -> Finding? {
    var finding: Finding?
    if windowEnds <= now {
      // A window that ended long ago was followed by silence: no churn.
      if now < windowEnds + Self.window { finding = judge(share) }
      windowEnds = now + Self.window
      total = 0
      short = [0, 0, 0]
    }
    total += 1
    for (index, bound) in Self.shortLives.enumerated() where life < .milliseconds(bound) {
      short[index] += 1
    }
    return finding
  }

  private func judge(_ share: Int) -> Finding? {
    guard total * share >= Self.manyPerMinute,
      let index = short.firstIndex(where: { $0 * 2 > total })
    else { return nil }
    return Finding(perMinute: total * share, medianBelow: Self.shortLives[index])
  }
}

// What is counted of each forward, and where each count has its place among a forward's numbers.
// Each worker keeps its own numbers; adding those of all workers gives the process's.

/// The places of a forward's counts.
public enum Count {
  public static let accepted = 0
  /// Clients that left without a byte before the target was reached.
  public static let absorbed = 1
  /// Connections that reached the target.
  public static let established = 2
  public static let toTargetBytes = 3
  public static let toClientBytes = 4
  /// On the monotonic clock, in nanoseconds; zero for never. The latest counts, not the sum.
  public static let lastSuccess = 5
  public static let lastFailure = 6
  /// The place of the last failure's cause among the causes.
  public static let lastCause = 7
  /// Clients that are gone again.
  public static let gone = 8
  static let failures = 9
  static let endings = failures + Failure.causes.count
  static let connectTimes = endings + EndedBy.allCases.count * EndReason.allCases.count
  static let durations = connectTimes + Histogram.connectTimes.words
  /// How many numbers a forward has.
  public static let places = durations + Histogram.durations.words

  public static func failure(_ failure: Failure) -> Int { failures + failure.cause }

  public static func ending(_ endedBy: EndedBy, _ reason: EndReason) -> Int {
    endings + endedBy.place * EndReason.allCases.count + reason.place
  }

  public static func connectTime(_ span: Nanoseconds) -> Int {
    connectTimes + Histogram.connectTimes.bucket(of: span)
  }
  public static let connectTimeSum = connectTimes + Histogram.connectTimes.bounds.count + 1

  public static func duration(_ span: Nanoseconds) -> Int {
    durations + Histogram.durations.bucket(of: span)
  }
  public static let durationSum = durations + Histogram.durations.bounds.count + 1
}

/// Times sorted into buckets. As numbers: one for each bound, one for what is beyond the last, and
/// the sum in microseconds.
public struct Histogram: Sendable {
  /// Upper bounds, in milliseconds.
  let bounds: [Int64]

  var words: Int { bounds.count + 2 }

  /// From a loopback's to the longest CONNECT_TIMEOUT that makes sense.
  static let connectTimes = Histogram(
    bounds: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000])
  /// From a query's to a pool's connection.
  static let durations = Histogram(
    bounds: [10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 21_600_000, 86_400_000])

  func bucket(of span: Nanoseconds) -> Int {
    bounds.firstIndex { span <= .milliseconds($0) } ?? bounds.count
  }
}

extension Failure {
  /// Every cause once, in a fixed order; errors without a word of their own count together.
  static let causes: [Failure] = [
    .refused, .timedOut, .networkUnreachable, .hostUnreachable, .reset, .nameNotFound,
    .nameWithoutAddress, .nameServersFailed, .loop, .noDescriptors, .noMemory, .noLocalPort,
    .notPermitted, .system(0),
  ]

  public var cause: Int {
    switch self {
    case .refused: 0
    case .timedOut: 1
    case .networkUnreachable: 2
    case .hostUnreachable: 3
    case .reset: 4
    case .nameNotFound: 5
    case .nameWithoutAddress: 6
    case .nameServersFailed: 7
    case .loop: 8
    case .noDescriptors: 9
    case .noMemory: 10
    case .noLocalPort: 11
    case .notPermitted: 12
    case .system: 13
    }
  }
}

extension EndedBy {
  static let allCases: [EndedBy] = [.client, .target, .sidecar]

  var place: Int {
    switch self {
    case .client: 0
    case .target: 1
    case .sidecar: 2
    }
  }
}

extension EndReason {
  static let allCases: [EndReason] = [
    .closed, .reset, .vanished, .idleTimeout, .targetChanged, .drainTimeout, .secondSignal, .error,
  ]

  var place: Int {
    switch self {
    case .closed: 0
    case .reset: 1
    case .vanished: 2
    case .idleTimeout: 3
    case .targetChanged: 4
    case .drainTimeout: 5
    case .secondSignal: 6
    case .error: 7
    }
  }
}

/// One forward's counts, of all workers together.
public struct ForwardCounts: Sendable {
  var values = [UInt64](repeating: 0, count: Count.places)

  public init() {}

  /// Adds one worker's numbers, read one by one by `value`.
  public mutating func add(_ value: (Int) -> UInt64) {
    for place in 0..<Count.places {
      let more = value(place)
      switch place {
      case Count.lastSuccess: values[place] = max(values[place], more)
      case Count.lastFailure:
        guard more > values[place] else { continue }
        values[place] = more
        values[Count.lastCause] = value(Count.lastCause)
      case Count.lastCause: continue
      case _: values[place] &+= more
      }
    }
  }

  public subscript(_ place: Int) -> UInt64 { values[place] }

  /// The numbers of a worker are read one after the other: one that goes in between may be missed
  /// among those that came.
  public var open: Int {
    let gone = min(values[Count.gone], values[Count.accepted])
    return Int(clamping: values[Count.accepted] - gone)
  }

  var failed: UInt64 { values[Count.failures..<Count.endings].reduce(0, &+) }

  /// Nil when there was none yet.
  var lastSuccess: Instant? { instant(Count.lastSuccess) }
  var lastFailure: (at: Instant, cause: Failure)? {
    instant(Count.lastFailure).map {
      ($0, Failure.causes[min(Int(values[Count.lastCause]), Failure.causes.count - 1)])
    }
  }

  private func instant(_ place: Int) -> Instant? {
    values[place] == 0 ? nil : Instant(nanoseconds: Int64(clamping: values[place]))
  }
}

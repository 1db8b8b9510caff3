// All that `sidecar status` and the metrics page tell, at one moment. How it looks:
// StatusTable.swift, StatusJSON.swift, MetricsPage.swift.

public struct StatusReport: Sendable {
  public enum State: Sendable {
    case starting, serving, draining, asleep

    var name: StaticString {
      switch self {
      case .starting: "starting"
      case .serving: "serving"
      case .draining: "draining"
      case .asleep: "asleep"
      }
    }
  }

  public var now: Instant
  public var startedAt: Instant
  public var startedWallTime: WallTime
  public var version: [UInt8]
  public var state: State
  public var forwards: [ForwardStatus] = []
  public var workers = 0
  /// Workers that did not say within a second what they have open.
  public var silentWorkers = 0
  public var maxConnections = 0
  public var openConnections = 0
  public var descriptors = 0
  public var maxDescriptors = 0
  public var pipes = 0
  public var maxPipes = 0
  public var lostLogLines: UInt64 = 0
  public var names = NameCounts()
  public var sandbox = SandboxState.off
  /// The oldest, the oldest first.
  public var connections: [ConnectionView] = []

  public init(
    now: Instant, startedAt: Instant, startedWallTime: WallTime, version: [UInt8], state: State
  ) {
    self.now = now
    self.startedAt = startedAt
    self.startedWallTime = startedWallTime
    self.version = version
    self.state = state
  }

  /// How many open connections are listed.
  public static let maxListed = 50
}

public struct ForwardStatus: Sendable {
  public var listen: Endpoint
  public var target: Target
  public var counts: ForwardCounts
  /// Nil for a target that is never looked up.
  public var answer: NameAnswer?

  public init(
    listen: Endpoint, target: Target, counts: ForwardCounts, answer: NameAnswer?
  ) {
    self.listen = listen
    self.target = target
    self.counts = counts
    self.answer = answer
  }
}

/// What the resolver counts.
public struct NameCounts: Equatable, Sendable {
  public var questions: UInt64 = 0
  public var resolved: UInt64 = 0
  public var notFound: UInt64 = 0
  public var withoutAddress: UInt64 = 0
  public var failed: UInt64 = 0
  public var changes: UInt64 = 0
  /// Lookups after which the last good answer stood in.
  public var stale: UInt64 = 0

  public init() {}

  /// A lookup that found no address.
  mutating func count(_ failure: Failure) {
    if failure == .nameNotFound {
      notFound += 1
    } else if failure == .nameWithoutAddress {
      withoutAddress += 1
    } else {
      failed += 1
    }
  }

  public mutating func add(_ other: NameCounts) {
    questions += other.questions
    resolved += other.resolved
    notFound += other.notFound
    withoutAddress += other.withoutAddress
    failed += other.failed
    changes += other.changes
    stale += other.stale
  }
}

/// One open connection.
public struct ConnectionView: Sendable {
  public enum State: Sendable {
    /// Has said nothing yet.
    case accepted
    case resolving
    case connecting
    case open
    /// The client, or the target, has sent its last byte.
    case clientEnded, targetEnded
    /// What is held is on its way; then it is over.
    case ending

    var name: StaticString {
      switch self {
      case .accepted: "accepted"
      case .resolving: "resolving"
      case .connecting: "connecting"
      case .open: "open"
      case .clientEnded: "client_ended"
      case .targetEnded: "target_ended"
      case .ending: "ending"
      }
    }
  }

  public var id: UInt64
  public var client: Endpoint
  public var address: Endpoint?
  public var forward: Int
  public var acceptedAt: Instant
  public var lastMoved: Instant
  public var toTargetBytes: UInt64
  public var toClientBytes: UInt64
  public var state: State

  public init(
    id: UInt64, client: Endpoint, address: Endpoint?, forward: Int, acceptedAt: Instant,
    lastMoved: Instant, toTargetBytes: UInt64, toClientBytes: UInt64, state: State
  ) {
    self.id = id
    self.client = client
    self.address = address
    self.forward = forward
    self.acceptedAt = acceptedAt
    self.lastMoved = lastMoved
    self.toTargetBytes = toTargetBytes
    self.toClientBytes = toClientBytes
    self.state = state
  }
}

/// Keeps the oldest connections of all that are shown to it, the oldest first.
public struct OldestConnections: Sendable {
  public private(set) var views: [ConnectionView] = []

  public init() {}

  /// Whether a connection of this age would be kept: to be asked before a view is made.
  public func wants(acceptedAt: Instant) -> Bool {
    views.count < StatusReport.maxListed || acceptedAt < views[views.count - 1].acceptedAt
  }

  @inline(never) public mutating func add(_ view: ConnectionView) {
    guard wants(acceptedAt: view.acceptedAt) else { return }
    let place = views.firstIndex { view.acceptedAt < $0.acceptedAt } ?? views.count
    views.insert(view, at: place)
    if views.count > StatusReport.maxListed { views.removeLast() }
  }
}

// From the first signal to the exit: when to stop accepting, how long to let connections finish,
// when to cut what is left. Makes no call; `now` is an argument.

/// The process's way out.
public struct Lifecycle: Sendable {
  public enum Step: Equatable, Sendable {
    /// Wait for a signal or for a change of what is open; until then at most, when given.
    case wait(until: Instant?)
    case closeListeners
    /// End every connection by a reset.
    case cut(EndReason)
    case exit
  }

  private enum State: Equatable {
    case serving
    case accepting(until: Instant)
    case draining(until: Instant)
    case cutting(EndReason)
    /// What was cut is being closed.
    case ending(until: Instant)
  }

  /// Closing what was cut takes microseconds; nothing may keep the process beyond this.
  private static let cutTime = Nanoseconds.seconds(1)

  private var state = State.serving
  private let drainDelay: Nanoseconds
  private let drainTimeout: Nanoseconds
  private var listens: Bool

  /// `listens` is false in sleep mode: there is nothing to drain.
  public init(drainDelay: Nanoseconds, drainTimeout: Nanoseconds, listens: Bool) {
    self.drainDelay = drainDelay
    self.drainTimeout = drainTimeout
    self.listens = listens
  }

  /// True once connections were cut instead of finishing.
  public private(set) var hasCut = false

  public var isServing: Bool { state == .serving }

  /// SIGTERM or SIGINT came. The first drains; another ends at once.
  public mutating func receiveStop(now: Instant) {
    switch state {
    case .serving: state = listens ? .accepting(until: now + drainDelay) : .ending(until: now)
    case .accepting, .draining: state = .cutting(.secondSignal)
    case .cutting, .ending: break
    }
  }

  /// The next step with `open` connections. DRAIN_TIMEOUT counts from the end of DRAIN_DELAY.
  public mutating func next(now: Instant, open: Int) -> Step {
    switch state {
    case .serving: return .wait(until: nil)
    case .accepting(let end):
      guard end <= now else { return .wait(until: end) }
      state = .draining(until: end + drainTimeout)
      return .closeListeners
    case .draining(let end):
      if open == 0 { return .exit }
      guard end <= now else { return .wait(until: end) }
      state = .ending(until: now + Self.cutTime)
      hasCut = true
      return .cut(.drainTimeout)
    case .cutting(let reason):
      state = .ending(until: now + Self.cutTime)
      hasCut = true
      return .cut(reason)
    case .ending(let end): return open == 0 || end <= now ? .exit : .wait(until: end)
    }
  }
}

// Making the connection to the target: which address next, and until when. One after the other,
// each within its share of CONNECT_TIMEOUT. Makes no call; `now` is an argument.

/// The state of connecting for one client.
public struct Dial: Sendable {
  public enum Step: Equatable, Sendable {
    /// Try the address of this index, until then at most.
    case connect(address: Int, until: Instant)
    case giveUp(Failure)
  }

  private let end: Instant
  private var failure = Failure.timedOut
  private let addresses: UInt8
  private var tried: UInt8 = 0

  public init(addresses: Int, timeout: Nanoseconds, now: Instant) {
    self.addresses = UInt8(clamping: addresses)
    end = now + timeout
    if addresses == 0 { failure = .nameNotFound }
  }

  /// The address that the last step named.
  public var current: Int { Int(tried) - 1 }

  public mutating func next(now: Instant) -> Step {
    guard tried < addresses, now < end else { return .giveUp(failure) }
    let share = (end - now).count / Int64(addresses - tried)
    tried += 1
    return .connect(address: current, until: now + Nanoseconds(count: share))
  }

  /// The attempt that `next` named came to nothing.
  public mutating func fail(_ failure: Failure) { self.failure = failure }

  /// The attempt could not be made for want of a descriptor: it is to be made again.
  public mutating func retry(_ failure: Failure) {
    self.failure = failure
    tried -= 1
  }
}

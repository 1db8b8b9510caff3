// Time as Core sees it: an argument. Spans and instants in whole nanoseconds, 64 bits each, because
// the standard library's `Duration` brings 128-bit division into the static build.

/// A span of time in nanoseconds.
public struct Nanoseconds: Equatable, Comparable, Sendable {
  public var count: Int64

  @inlinable public init(count: Int64) { self.count = count }

  public static let zero = Nanoseconds(count: 0)
  @inlinable public static func milliseconds(_ count: Int64) -> Nanoseconds {
    Nanoseconds(count: count * 1_000_000)
  }
  @inlinable public static func seconds(_ count: Int64) -> Nanoseconds {
    Nanoseconds(count: count * 1_000_000_000)
  }

  /// Rounded up, so that a wait of this many milliseconds never ends early.
  @inlinable public var wholeMilliseconds: Int64 { (count + 999_999) / 1_000_000 }

  @inlinable public static func < (left: Nanoseconds, right: Nanoseconds) -> Bool {
    left.count < right.count
  }
}

/// A moment on the monotonic clock (clock_gettime(2), CLOCK_MONOTONIC), in nanoseconds.
public struct Instant: Equatable, Comparable, Sendable {
  public var nanoseconds: Int64

  @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Later than any other.
  public static let never = Instant(nanoseconds: .max)

  @inlinable public static func + (instant: Instant, span: Nanoseconds) -> Instant {
    Instant(nanoseconds: instant.nanoseconds &+ span.count)
  }
  @inlinable public static func - (instant: Instant, span: Nanoseconds) -> Instant {
    Instant(nanoseconds: instant.nanoseconds &- span.count)
  }
  @inlinable public static func - (later: Instant, earlier: Instant) -> Nanoseconds {
    Nanoseconds(count: later.nanoseconds &- earlier.nanoseconds)
  }
  @inlinable public static func < (left: Instant, right: Instant) -> Bool {
    left.nanoseconds < right.nanoseconds
  }
}

/// A moment on the wall clock: nanoseconds since 1970-01-01T00:00:00Z (CLOCK_REALTIME).
public struct WallTime: Equatable, Sendable {
  public var nanosecondsSince1970: Int64
  @inlinable public init(nanosecondsSince1970: Int64) {
    self.nanosecondsSince1970 = nanosecondsSince1970
  }
}
